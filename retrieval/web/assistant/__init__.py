"""A server of the model context protocol, for assistants: read-only tools over one gallery."""
