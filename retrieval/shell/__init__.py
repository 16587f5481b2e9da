"""``photoseek shell``: one search after another, with the model kept loaded.

::

    lines.py     parses a typed line
    session.py   the state of the conversation: query, hits, more, like and not
    loop.py      reads lines, answers them, stores the history
"""
