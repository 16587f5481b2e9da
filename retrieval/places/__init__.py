"""Names of places: from the coordinates of pictures to towns, regions and countries, offline."""
