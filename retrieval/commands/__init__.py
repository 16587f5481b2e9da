"""The commands: one plain function or group each, imported only when it is asked for.

:data:`COMMANDS` is all that ``photoseek --help`` reads. A command parses flags, calls one library function and prints.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command lies and what the list of commands says of it.

    Attributes:
        target: ``module:attribute``; a function with annotated parameters, or a ``typer.Typer`` (a group).
        help: how the attribute's own help begins.
    """

    target: str
    help: str


COMMANDS: dict[str, Command] = {
    "index": Command("retrieval.commands.index:index", "Index picture folders."),
    "search": Command("retrieval.commands.search:search", "Find pictures by words, by pictures, or by both."),
    "similar": Command("retrieval.commands.similar:similar", "Find pictures that look like one."),
    "shell": Command("retrieval.commands.shell:shell", "Search again and again with the model kept awake."),
    "serve": Command("retrieval.commands.serve:serve", "Show the gallery as a web page, and answer programs."),
    "label": Command("retrieval.commands.labels:label", "Tags and captions of pictures: show them, or change yours."),
    "tag": Command("retrieval.commands.labels:tag", "Let the model predict tags for the pictures of the gallery."),
    "classify": Command("retrieval.commands.labels:classify", "Which of some labels fits a picture, in probabilities."),
    "duplicates": Command(
        "retrieval.commands.duplicates:duplicates",
        "Find pictures that are there twice; nothing is touched without --yes.",
    ),
    "clusters": Command(
        "retrieval.commands.views:clusters", "Group the pictures that look alike, and name each group."
    ),
    "map": Command("retrieval.commands.views:map_", "Lay the pictures on a plane, near each other if they look alike."),
    "info": Command("retrieval.commands.gallery:info", "What is indexed: counts, model, index, sizes, the last run."),
    "tune": Command("retrieval.commands.gallery:tune", "Try the index against exact search on your pictures."),
    "forget": Command("retrieval.commands.gallery:forget", "Take folders or files out of the gallery."),
    "daemon": Command("retrieval.commands.daemon:daemon", "A process that keeps the text tower awake."),
    "mcp": Command("retrieval.commands.mcp:mcp", "Let an assistant search your pictures."),
    "models": Command(
        "retrieval.commands.models:models_app", "The models that can be used: list, fetch, import, export, drop."
    ),
    "train": Command(
        "retrieval.commands.training:train", "Train a model on your own pictures, and say what it gained."
    ),
    "explain": Command(
        "retrieval.commands.explain:explain", "What a model does to a picture: patches, tokens, where it looks."
    ),
    "eval": Command(
        "retrieval.commands.evaluation:eval_app", "How good a model is, on your data: captions, class folders."
    ),
    "completion": Command(
        "retrieval.commands.completion:completion",
        "Print what makes a shell complete commands and flags, and values: tags, cameras, ...",
    ),
}
"""Name -> command, in the order in which they are listed."""
