"""Embeddings in bulk: a gallery's as files for other programs, and those of other programs into a gallery."""
