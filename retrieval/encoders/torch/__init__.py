"""Models on torch, on a GPU or a CPU."""
