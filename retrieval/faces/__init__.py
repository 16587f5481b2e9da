"""Faces in pictures: found and embedded by networks, grouped into persons; off unless a user asks for it."""
