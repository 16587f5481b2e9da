"""Persistent settings: one TOML file of the user, one in the gallery; a table of all settings."""
