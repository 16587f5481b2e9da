"""The local web page, its HTTP API, a client of it, and an MCP server for assistants. Needs ``photoseek[web]``."""
