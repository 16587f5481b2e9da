"""Duplicates over HTTP: found in a separate thread, read-only."""
