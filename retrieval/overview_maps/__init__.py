"""Overviews of a whole gallery.

::

    groups.py   pictures into groups: how many, which, and the ones in their middle
    names.py    what sets a group apart, in the words of a vocabulary
    tell.py     groups as lines and as a page
    layout.py   embeddings to places on a plane
    atlas.py    the map of a gallery: which pictures, where, in which group
    page.py     the map as a page
    atlas.js    what moves on that page
"""
