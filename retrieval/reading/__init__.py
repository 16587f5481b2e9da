"""Words in pictures: located by a detector, read by a recogniser, stored in the catalog and searched there."""
