"""Files on disk: model folders, weights, merge tables; every field is validated."""
