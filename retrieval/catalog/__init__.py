"""The catalog, the single source of truth: in SQLite (SQLAlchemy writes it, sqlite3 reads it), or in PostgreSQL."""
