"""Backups of a gallery, and checking and repairing it."""
