"""Showing hits: in a terminal or a browser, opened, copied.

::

    thumbnails.py   small pictures of what is on disk, as pixels and as data URIs
    page.py         HTML pages that need nothing else: head, figures, the file
    sheet.py        the contact sheet of a search
    wording.py      a query and a filter in words
    terminal.py     what a terminal can draw: from its environment, else by asking it
    protocols.py    a picture as Kitty, iTerm2, Sixel or half-block text
    preview.py      hits as rows of thumbnails with captions
    copies.py       hits as files or links in a folder
    showing.py      what was asked for of all this, and doing it
"""
