"""Commands on several items: failures are reported and counted, the other items are processed.

This applies to all commands with several pictures, folders or lines: results keep the order of the items, each failed
item is reported on stderr with its reason, and the exit code is 2 although the others were processed. If there is
only one item, its failure is an ordinary error. Problems with the gallery, a model or the machine end the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from retrieval.errors import QueryError, RetrievalError, SettingsError, UnknownImage, UnreadableImage
from retrieval.streams import plural

Refused = Callable[[str, RetrievalError], None]
"""Called for an item that failed, with its name and the reason."""

OF_THE_ITEM = (QueryError, SettingsError, UnknownImage, UnreadableImage)
"""Errors of a single item, after which the next item may succeed."""

EXIT_CODE = QueryError.exit_code
_TOLD = 20


@contextmanager
def item(name: object, refused: Refused | None, own: tuple[type[RetrievalError], ...] = OF_THE_ITEM) -> Iterator[None]:
    """Around the work on one item: passes its ``own`` errors to ``refused``; raises all others, or all without it."""
    try:
        yield
    except own as error:
        if refused is None:
            raise
        refused(str(name), error)


class Undone:
    """Counts the items that failed and reports the first of them.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.count = 0

    def __call__(self, name: str, error: RetrievalError) -> None:
        """See :data:`Refused`."""
        self.count += 1
        if self.count <= _TOLD:
            begin = "" if name in error.message else f"{name}: "
            self._say(f"{begin}{error.message}; {error.hint}" if error.hint else begin + error.message)

    def summary(self, one: str, total: int | None = None) -> str:
        """The last line: how many of ``one`` (picture, folder) could not be used."""
        told = f"; the first {_TOLD} are listed above" if self.count > _TOLD else ""
        others = "" if total is None or total <= self.count else "; the others are processed"
        return f"{plural(self.count, one)} could not be used{others}{told}"
