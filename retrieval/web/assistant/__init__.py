"""A Model Context Protocol server for AI assistants: read-only tools for one gallery."""
