"""The catalog in PostgreSQL: the same tables and statements as in SQLite; psycopg reads and writes them."""
