"""From folders to committed embeddings: walk, compare, decode, encode, commit, update the index."""
