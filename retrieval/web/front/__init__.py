"""Middleware: hosts, origins, tokens, limits, headers, error responses."""
