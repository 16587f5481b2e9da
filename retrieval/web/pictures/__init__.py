"""One picture over HTTP: what is known of it, its thumbnails, its file."""
