"""``photoseek shell``: searches one after another, with the model kept loaded.

::

    lines.py     a line as it is typed to what it asks for
    session.py   what was asked so far, and the hits: searching, more, like and not
    loop.py      reading lines, answering them, the history
"""
