"""The SQLite catalog, which is the truth: one way to write it (SQLAlchemy), one to read it (sqlite3)."""
