"""Searches, and what is made of whole lists of hits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from retrieval.web.client.connection import Connection
from retrieval.web.edits.models import Selected
from retrieval.web.search.models import HitOut, SearchAnswer
from retrieval.web.wire import in_url, plain

Picture = str | Path | bytes


class Searching(Connection):
    """Methods that search."""

    def search(
        self,
        *words: str,
        without: Sequence[str] = (),
        like: Sequence[int | str] = (),
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        weights: Mapping[str | int, float] | None = None,
        picture: Picture | None = None,
        k: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        sort: Literal["score", "date", "name"] | None = None,
        reverse: bool = False,
        relevant: bool = False,
        min_score: float | None = None,
        group_minutes: float | None = None,
        raw_pairs: Literal["jpeg", "raw"] | None = None,
        **where: Any,
    ) -> SearchAnswer:
        """A part of the list of hits. Without a query: every picture, newest first.

        Args:
            words: each in photoseek's query language.
            without: words to keep away from.
            like: pictures to look for: ids, or the ``upload`` of an answer.
            more, less: ids of hits that are liked and not liked.
            weights: words or ids of pictures -> how much they count, as further parts of the query.
            picture: a file or its bytes, to search for; the answer's ``upload`` can be used for it afterwards.
            k: how many hits, 500 at most.
            offset: any position in the list, from 0.
            cursor: ``next`` of the part before, in place of ``offset``.
            sort, reverse, relevant, min_score, group_minutes, raw_pairs: as in :class:`retrieval.search.pages.Listing`.

        Raises:
            PageExpired: the gallery changed since the cursor's answer.
            RequestRefused: 410 for an upload that the server has forgotten.
        """
        parts = [{"kind": _kind(value), "value": str(value), "weight": w} for value, w in (weights or {}).items()]
        asked = {
            "q": list(words), "not": list(without), "like": [str(one) for one in like], "more": list(more),
            "less": list(less), "terms": parts, "k": k, "cursor": cursor, "sort": sort, "reverse": reverse,
            "relevant": relevant, "min_score": min_score, "group_minutes": group_minutes,
            "raw_pairs": raw_pairs, **plain(where),
        }  # fmt: skip
        asked |= {"offset": offset} if cursor is None else {}
        asked = {name: value for name, value in asked.items() if value not in (None, [], False)}
        if picture is None:
            return self._read(SearchAnswer, "POST", "/search", json=asked)
        form = {"picture": ("picture", _bytes(picture)), "query": (None, json.dumps(asked).encode())}
        return self._read(SearchAnswer, "POST", "/search", files=form)

    def iter_search(self, *words: str, page: int = 100, **asked: Any) -> Iterator[HitOut]:
        """Every hit of a search, requested page by page; see :meth:`search` for the parameters.

        Raises:
            PageExpired: the gallery changed meanwhile.
        """
        answer = self.search(*words, k=page, **asked)
        yield from answer.hits
        picture = asked.pop("picture", None)
        if picture is not None and answer.upload is not None:
            asked["like"] = [*asked.get("like", ()), answer.upload]
        asked.pop("offset", None)
        while answer.next is not None:
            answer = self.search(*words, k=page, **{**asked, "cursor": answer.next})
            yield from answer.hits

    def similar(
        self, id: int, *, k: int = 100, offset: int = 0, cursor: str | None = None, **where: Any
    ) -> SearchAnswer:
        """Pictures that look like one of the gallery; conditions, order and limits as in :meth:`search`."""
        asked = {"k": k, "cursor": cursor, **plain(where)} | ({"offset": offset} if cursor is None else {})
        return self._read(SearchAnswer, "GET", f"/similar/{int(id)}", params=in_url(asked))

    def selection(self, **asked: Any) -> Selected:
        """The ids of everything that a search lists, whatever part of it is read.

        Args:
            asked: the fields of a search as the API has them, such as ``q=["a dog"]`` and conditions.
        """
        return self._read(Selected, "POST", "/selection", json=plain(asked))

    def export(self, to: str | Path, ids: Sequence[int] | None = None, **asked: Any) -> Path:
        """Write a whole list as CSV to a new file, or to ``photoseek.csv`` in a folder; nothing is overwritten.

        Args:
            ids: these pictures, in this order, in place of a search.
            asked: as for :meth:`selection`.

        Raises:
            FileExistsError: the file exists already.
        """
        given = plain(asked) | ({} if ids is None else {"ids": [int(one) for one in ids]})
        return self._saved(to, "photoseek.csv", "POST", "/export", json=given)


def _kind(value: str | int) -> str:
    return "text" if isinstance(value, str) else "id"


def _bytes(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()
