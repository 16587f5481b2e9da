"""``photoseek mcp``."""

from __future__ import annotations

import sys

from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say


def mcp(gallery: GalleryOption = None) -> None:
    """Let an AI assistant search your pictures. Speaks the Model Context Protocol on stdin and stdout; read-only."""
    from retrieval.gallery import Gallery
    from retrieval.web.assistant.server import serve_stdio

    if sys.stdin.isatty():
        say("an assistant starts this command itself: name it in its settings (docs/web.md); Ctrl-C stops it")
    serve_stdio(Gallery(gallery))
