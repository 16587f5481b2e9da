"""Folders to committed embeddings: walk, compare, decode, encode, commit, and the index that follows."""
