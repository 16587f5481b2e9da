"""The commands: one plain function or group each, imported only when it is called.

:data:`COMMANDS` is all that ``photoseek --help`` reads. A command parses flags, calls one library function and prints.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """The definition of a command, and its line in the list of commands.

    Attributes:
        target: ``module:attribute``; a function with annotated parameters, or a ``typer.Typer`` (a group).
        help: the beginning of the attribute's own help text.
    """

    target: str
    help: str


COMMANDS: dict[str, Command] = {
    "init": Command(
        "retrieval.commands.init:init", "Make a gallery whose catalog is in PostgreSQL; others need no making."
    ),
    "index": Command("retrieval.commands.index:index", "Index picture folders."),
    "watch": Command(
        "retrieval.commands.watch:watch",
        "Keep the gallery in step with folders: new, changed and moved pictures are indexed within seconds.",
    ),
    "search": Command("retrieval.commands.search:search", "Find pictures by text, by example pictures, or by both."),
    "similar": Command("retrieval.commands.similar:similar", "Find pictures that look like a given one."),
    "shell": Command("retrieval.commands.shell:shell", "Search interactively; the model stays loaded."),
    "serve": Command("retrieval.commands.serve:serve", "Serve the gallery as a web page and an HTTP API."),
    "label": Command("retrieval.commands.labels:label", "Show or change the tags, captions and ratings of pictures."),
    "album": Command("retrieval.commands.albums:albums_app", "Make, fill, show and delete albums."),
    "people": Command(
        "retrieval.commands.people:people_app", "List, name, merge and split the people in pictures, and delete them."
    ),
    "export": Command(
        "retrieval.commands.export:export",
        "Export pictures with what is known of them to a folder: files, and lists as CSV and JSON.",
    ),
    "import": Command(
        "retrieval.commands.bulk:import_",
        "Import embeddings that were made elsewhere, for picture files on this machine.",
    ),
    "tag": Command("retrieval.commands.labels:tag", "Predict tags for the pictures of the gallery."),
    "classify": Command("retrieval.commands.labels:classify", "Classify pictures with given labels."),
    "duplicates": Command(
        "retrieval.commands.duplicates:duplicates",
        "Find duplicate pictures; no file is changed without --yes.",
    ),
    "clusters": Command("retrieval.commands.views:clusters", "Group similar pictures and name each group."),
    "map": Command("retrieval.commands.views:map_", "Draw a map of the gallery: similar pictures are close together."),
    "config": Command("retrieval.commands.config:config_app", "Show and change settings that last."),
    "info": Command(
        "retrieval.commands.gallery:info", "Show what is indexed: counts, model, index, sizes, the last run."
    ),
    "tune": Command("retrieval.commands.gallery:tune", "Compare the index with exact search on your pictures."),
    "forget": Command("retrieval.commands.gallery:forget", "Remove folders or files from the gallery."),
    "verify": Command(
        "retrieval.commands.maintenance:verify", "Check the catalog, embeddings, indexes and caches of a gallery."
    ),
    "backup": Command(
        "retrieval.commands.maintenance:backup", "Back up the gallery: tags, captions, albums, embeddings, settings."
    ),
    "restore": Command(
        "retrieval.commands.maintenance:restore",
        "Restore a gallery from a backup, or labels from the copies that it keeps.",
    ),
    "migrate": Command("retrieval.commands.migrate:migrate", "Move the catalog to PostgreSQL, or back into a file."),
    "daemon": Command(
        "retrieval.commands.daemon:daemon", "Start or stop a background process that makes text searches faster."
    ),
    "mcp": Command("retrieval.commands.mcp:mcp", "Let an AI assistant search your pictures."),
    "models": Command("retrieval.commands.models:models_app", "List, fetch, import, export and drop models."),
    "train": Command(
        "retrieval.commands.training:train", "Train a model on your own pictures and report the improvement."
    ),
    "explain": Command(
        "retrieval.commands.explain:explain", "Show how a model processes a picture: patches, tokens, heat map."
    ),
    "eval": Command(
        "retrieval.commands.evaluation:eval_app", "Evaluate a model on your own data: captions or class folders."
    ),
    "completion": Command(
        "retrieval.commands.completion:completion",
        "Print the completion script for your shell.",
    ),
}
"""Name -> command, in the order in which they are listed."""
