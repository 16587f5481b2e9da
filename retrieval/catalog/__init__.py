"""The SQLite catalog, which is the truth: every statement on its tables, one way to write it and one to read it."""
