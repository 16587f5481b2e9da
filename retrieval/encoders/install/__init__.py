"""Models are brought here: downloaded, translated from the form of others, exported."""
