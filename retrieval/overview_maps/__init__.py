"""Overviews of a whole gallery.

::

    groups.py   groups of pictures: how many, their members, and the most central ones
    names.py    names of groups, from a vocabulary
    tell.py     groups as lines and as a page
    layout.py   embeddings to positions in a plane
    atlas.py    the map of a gallery: pictures, positions, groups
    page.py     the map as a page
    atlas.js    the script of that page
"""
