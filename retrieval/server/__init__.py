"""A background process that keeps one gallery's model loaded between commands, and its client."""
