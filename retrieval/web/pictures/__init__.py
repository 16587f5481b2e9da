"""Single pictures over HTTP: details, thumbnails, files."""
