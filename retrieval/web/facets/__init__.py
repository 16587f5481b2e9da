"""Facets: counts of pictures by camera, month, folder, tag and place."""
