"""From bytes to pixels, exactly as in open_clip; also EXIF, colours and the perceptual hash."""
