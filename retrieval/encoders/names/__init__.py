"""Resolve model names: which model is meant, and where its files are."""
