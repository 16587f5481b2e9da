"""Display of hits: in a terminal or a browser, opened, copied.

::

    thumbnails.py   small pictures of the files on disk, as pixels and as data URIs
    html_page.py    self-contained HTML pages: head, figures, the file
    sheet.py        the contact sheet of a search
    terminal.py     what a terminal can draw: from its environment, else by a query
    protocols.py    a picture as Kitty, iTerm2, Sixel or half-block text
    preview.py      hits as rows of thumbnails with captions
    copies.py       hits as files or links in a folder
    showing.py      the options for all of this, and carrying them out
"""
