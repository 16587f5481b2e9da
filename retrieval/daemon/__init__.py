"""A process that keeps one gallery's model awake between commands, and how a command asks it."""
