"""What people say about pictures: tags, captions, ratings, favourites, albums; and taking a change back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from retrieval.web.client.connection import Connection
from retrieval.web.edits.models import AlbumChanged, Edited, Undone
from retrieval.web.facets.models import Albums
from retrieval.web.wire import plain


class Labels(Connection):
    """Methods on labels and albums; all that change something raise RequestRefused (403) if the server is read-only."""

    def label(self, ids: Sequence[int] = (), *, results_of: Mapping[str, Any] | None = None, **changes: Any) -> Edited:
        """Change what people say about pictures; :meth:`undo` takes it back.

        Args:
            ids: of the pictures.
            results_of: instead or as well, everything that a search lists: fields of :meth:`search`, as the API has
                them.
            changes: ``tags``, ``without_tags``, ``caption``, ``without_caption``, ``rating``, ``without_rating``,
                ``favourite``, ``hidden``; as in :class:`retrieval.labels.labelling.LabelEdit`.

        Raises:
            UnknownImage: none of the pictures is in the gallery.
        """
        return self._read(Edited, "POST", "/labels", json=_pictures(ids, results_of) | plain(changes))

    def undo(self, token: str) -> Undone:
        """Take a change back, exactly and once; its own ``undo`` makes it again.

        Args:
            token: ``undo`` of the answer to a change.

        Raises:
            RequestRefused: 410, it was taken back already, or is too long ago.
        """
        return self._read(Undone, "POST", f"/undo/{quote(token, safe='')}")

    # Albums

    def albums(self) -> Albums:
        """Every album, of pictures and of saved searches; ``album="..."`` filters by either kind."""
        return self._read(Albums, "GET", "/albums")

    def create_album(
        self,
        name: str,
        ids: Sequence[int] = (),
        *,
        results_of: Mapping[str, Any] | None = None,
        search: Mapping[str, Any] | None = None,
    ) -> AlbumChanged:
        """A new album, with or without pictures; or a saved search, which stays live.

        Args:
            ids, results_of: the pictures, as for :meth:`label`.
            search: instead, the fields of the search that is saved, such as ``{"q": ["a dog"], "camera": "canon"}``.
        """
        asked = {"name": name} | _pictures(ids, results_of) | ({} if search is None else {"search": plain(search)})
        return self._read(AlbumChanged, "POST", "/albums", json=asked)

    def add_to_album(
        self, album: int, ids: Sequence[int] = (), *, results_of: Mapping[str, Any] | None = None
    ) -> AlbumChanged:
        """Put pictures at the end of an album; those that are in it keep their place.

        Args:
            album: ``id`` of an album in the answer of :meth:`albums`.
            ids, results_of: as for :meth:`label`.
        """
        return self._read(AlbumChanged, "POST", f"/albums/{int(album)}/add", json=_pictures(ids, results_of))

    def remove_from_album(
        self, album: int, ids: Sequence[int] = (), *, results_of: Mapping[str, Any] | None = None
    ) -> AlbumChanged:
        """Take pictures out of an album; they stay in the gallery. For the parameters see :meth:`add_to_album`."""
        return self._read(AlbumChanged, "POST", f"/albums/{int(album)}/remove", json=_pictures(ids, results_of))

    def change_album(
        self, album: int, *, name: str | None = None, cover: int | None = None, first: Sequence[int] | None = None
    ) -> AlbumChanged:
        """Rename an album, choose its cover, or put some of its pictures first, in this order."""
        asked = plain({"name": name, "cover": cover, "first": None if first is None else list(first)})
        return self._read(AlbumChanged, "PATCH", f"/albums/{int(album)}", json=asked)

    def delete_album(self, album: int) -> AlbumChanged:
        """Delete an album, never its pictures."""
        return self._read(AlbumChanged, "DELETE", f"/albums/{int(album)}")


def _pictures(ids: Sequence[int], results_of: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {} if results_of is None else {"results_of": plain(results_of)}
    return {"ids": [int(one) for one in ids], **found}
