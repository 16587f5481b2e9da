"""Searches over HTTP: whole ranked lists, read at any place; uploads, exports, downloads."""
