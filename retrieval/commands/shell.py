"""``photoseek shell``: one search after another."""

from __future__ import annotations

import sys

from retrieval.commands.answers import open_engine, open_file
from retrieval.commands.options import (
    AllowUrlOption,
    GalleryOption,
    LimitOption,
    PreviewAsOption,
    PreviewOption,
    TowerOption,
)
from retrieval.commands.say import say


def shell(
    gallery: GalleryOption = None,
    model: TowerOption = "",
    limit: LimitOption = 10,
    preview: PreviewOption = False,
    preview_as: PreviewAsOption = "",
    allow_url: AllowUrlOption = False,
) -> None:
    """Search interactively; the model stays loaded. `like 3` and `not 1` refine a search, `help` lists all commands."""
    from retrieval.rendering.showing import Showing
    from retrieval.shell.loop import run_shell

    showing = Showing(preview=preview, preview_as=preview_as)
    with open_engine(gallery, model=model) as engine:
        code = run_shell(engine, sys.stdin, sys.stdout, say, open_file, showing, k=limit, allow_urls=allow_url)
        sys.stdout.flush()
    raise SystemExit(code)
