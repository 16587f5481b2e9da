"""People over HTTP: persons, the faces in a picture, portraits, and edits of them."""
