"""What is there twice, over HTTP: found in a thread of its own, read-only."""
