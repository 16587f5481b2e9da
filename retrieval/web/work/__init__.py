"""Threads, and the bounded lines of jobs in front of them: the desk with the query engine, and the readers."""
