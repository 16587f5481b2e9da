"""Tables in Markdown, padded so that they are also readable in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """One result.

    Attributes:
        head: column names; the first column is left-aligned, the others right-aligned unless ``is_text``.
        notes: lines below it.
        is_text: every column is left-aligned.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)
    is_text: bool = False

    def to_markdown(self) -> str:
        """Heading, table, notes as a list."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        numbers = "-" if self.is_text else ":"
        rule = ["-" * widths[0], *("-" * (width - 1) + numbers for width in widths[1:])]
        lines = [self._line(row, widths) for row in (self.head, rule, *self.rows)]
        notes = ["", *(f"* {note}" for note in self.notes)] if self.notes else []
        return "\n".join([f"## {self.title}", "", *lines, *notes, ""])

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        first, *rest = zip(row, widths, strict=True)
        align = str.ljust if self.is_text else str.rjust
        cells = [first[0].ljust(first[1]), *(align(text, width) for text, width in rest)]
        return f"| {' | '.join(cells)} |"


def sections(markdown: str) -> dict[str, str]:
    """Title of each table in a file of results -> its text, from :meth:`Table.to_markdown`."""
    parts = markdown.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}
