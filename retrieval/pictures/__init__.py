"""Bytes to pixels, exactly as open_clip makes them, and what else a picture file tells: EXIF, colours, a hash."""
