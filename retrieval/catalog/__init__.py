"""The SQLite catalog, the single source of truth: SQLAlchemy writes it, sqlite3 reads it."""
