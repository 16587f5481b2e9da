"""The table of settings as the table of docs/settings.md (``python -m retrieval.config.listing`` prints it)."""

from __future__ import annotations

import sys

from retrieval.config.kinds import Number, OneOf, OnOff, Text, Texts, Whole, toml
from retrieval.config.table import SETTINGS, Setting


def as_markdown() -> str:
    """A row for each setting."""
    lines = ["| setting | value | default | what it is | gallery's file | variable |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {_accepted(row)} | {_default(row)} | {row.help} | {'yes' if row.in_gallery else ''} "
        f"| `{row.environment}` |"
        for row in SETTINGS
    ]
    return "\n".join(lines) + "\n"


def _accepted(row: Setting) -> str:
    kind = row.kind
    if isinstance(kind, Whole):
        return f"{kind.least:,} to {kind.most:,}"
    if isinstance(kind, Number):
        return f"{kind.least:g} to {kind.most:g}"
    if isinstance(kind, OneOf):
        return ", ".join(kind.choices)
    if isinstance(kind, OnOff):
        return "true, false"
    if isinstance(kind, Texts):
        return "list of texts"
    return "folder" if isinstance(kind, Text) and kind.is_folder else "text"


def _default(row: Setting) -> str:
    return row.usual if row.default is None else f"`{toml(row.default)}`"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
