"""The programs that a catalog holds by right: its triggers, and its indexes of words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from retrieval.errors import GalleryError
from retrieval.foreign_databases import foreign_part

VIRTUAL = frozenset({"text_index", "lexical_index"})
"""Tables of FTS5."""

TRIGGERS = frozenset(
    {
        ("captions_added", "5a6c9813f30e0844"),
        ("captions_added", "7ec8c838bb5004c3"),
        ("captions_changed", "020a91a836d0bfe1"),
        ("captions_changed", "bd887528e53a2464"),
        ("captions_deleted", "912d24e8cc2cfa68"),
        ("captions_deleted", "b4630777a5275b52"),
        ("folders_added", "6690d60f022ffcc4"),
        ("folders_added", "83ef4db48f1186e8"),
        ("folders_changed", "55b6fb8ca0feb801"),
        ("folders_changed", "fdc4f1f4565d510b"),
        ("folders_deleted", "3d32db78bb8ba073"),
        ("folders_deleted", "c1baa97519387f64"),
        ("images_added", "c9164cd37df24141"),
        ("images_added", "ee0fda35f8f94a8d"),
        ("images_changed", "23b083b0ee49a239"),
        ("images_changed", "264a1b497ddcfc2e"),
        ("images_deleted", "7d7da14e37258146"),
        ("images_deleted", "e6a5b1c3ff77ffa2"),
        ("lexical_added", "c0f14089f7d0231f"),
        ("lexical_deleted", "7a743af57eaefe33"),
        ("name_the_change", "22bc99bcde42c19e"),
        ("note_gone_moment", "4ea0053536ff5ffa"),
        ("places_added", "1f6f41702e2c68fd"),
        ("places_added", "e75951c1f902d577"),
        ("places_changed", "283b4a1f378a68eb"),
        ("places_changed", "9443de2195d887fe"),
        ("places_deleted", "a0d772e62f40582d"),
        ("places_deleted", "bf9f3eb9d4e92b1a"),
        ("tag_spellings_added", "45c7552cc977fd81"),
        ("tag_spellings_added", "e2b99bd2f17a5590"),
        ("tag_spellings_changed", "a37ac123cf5c5fbf"),
        ("tag_spellings_changed", "f041dd2beaf3d2ac"),
        ("tag_spellings_deleted", "935bf35b4daf1a35"),
        ("tag_spellings_deleted", "b7bbe691dfc9d022"),
    }
)
"""Name and digest of the statement of each trigger, in every version of the schema; a test says if one is missing."""


def check_triggers(connection: sqlite3.Connection, path: Path) -> None:
    """Look at a catalog's schema before anything of it is read or written.

    Raises:
        GalleryError: it holds programs that photoseek has not written.
    """
    try:
        part = foreign_part(connection, TRIGGERS, VIRTUAL)
    except sqlite3.DatabaseError as error:
        from retrieval.catalog.connect import unreadable

        raise unreadable(path, error) from error
    if part is not None:
        raise GalleryError(
            f"the catalog {path} was changed by another program: it has {part}",
            "to take its rows into a new one, run: photoseek verify --repair; or restore a backup",
        )
