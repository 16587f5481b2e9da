"""Which values the pictures have, with counts: cameras, months, folders, tags, places."""
