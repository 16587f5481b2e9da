"""Indexing over HTTP: a child process, its progress as server-sent events."""
