"""Keeping a gallery in step with folders while they change."""
