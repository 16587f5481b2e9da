"""Searches over HTTP: ranked lists that can be read at any position; uploads, exports, downloads."""
