"""From the name that a person gives to a model: which one is meant, and where its files are."""
