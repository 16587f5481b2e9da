"""Import XMP labels of a gallery's pictures: from sidecars, or else from inside the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from retrieval.catalog.images import DateAndPlace, dates_and_places, set_dates_and_places
from retrieval.catalog.labels import KINDS, add_said, remove_said
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.filters import Filter
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.labels.embedded import read_embedded
from retrieval.labels.labelling import find_images
from retrieval.labels.pairing import FolderOutOfReach, Sidecars
from retrieval.labels.reading import XMP, ImageLabels, labels_of
from retrieval.labels.written import with_date, with_place
from retrieval.labels.xmp import UnreadableXmp, Xmp
from retrieval.regular_files import describe_os_error
from retrieval.undone import Refused

_AT_ONCE = 500


@dataclass
class ImportReport:
    """The result of an import.

    Attributes:
        pictures: how many were examined.
        sidecars, embedded: pictures that had XMP in a sidecar, or inside.
        changed: pictures whose XMP differs from the last import.
        problems: path of a sidecar, picture or folder -> why its XMP could not be used; earlier imports are kept.
    """

    pictures: int = 0
    sidecars: int = 0
    embedded: int = 0
    changed: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def import_xmp(
    gallery: Gallery,
    targets: Sequence[str | Path | int] = (),
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    refused: Refused | None = None,
) -> ImportReport:
    """Replace the labels of source ``xmp`` by the present contents of the XMP; the user's labels are never touched.

    A sidecar is ``photo.jpg.xmp`` or ``photo.xmp`` in the picture's folder (see ``pairing.Sidecars``). If there is
    one, XMP inside the picture is ignored: programs that write sidecars do not keep it up to date. No
    picture is decoded. A picture without a date or place of its own takes them from the XMP, too. If a folder or a
    file cannot be reached, earlier imports are kept.

    Args:
        targets, refused: pictures, folders or ids (see ``labelling.find_images``); default: the whole gallery.

    Raises:
        UnknownImage: the gallery holds nothing of a target.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    report = ImportReport()
    with gallery.reader() as reader, gallery.writer() as catalog:
        ids = find_images(reader, targets, refused) if targets else reader.select(Filter()).tolist()
        folders = Sidecars()
        for known in _in_blocks(reader, ids):
            changes: list[tuple[ImageLabels, Xmp]] = []
            facts: list[tuple[ImageLabels, Xmp, str]] = []
            for labels in known:
                looked = _look(labels.image.path, folders, report)
                if looked is None:
                    continue
                said = _without_ours(looked[0], labels)
                # Tags in the gallery's spelling: a tag that differs only in case is not new.
                if (_keys(said.tags), said.caption, said.rating) != _as_known(labels):
                    changes.append((labels, said))
                facts.append((labels, said, looked[1]))
            report.pictures += len(known)
            if changes:  # a run without changes writes nothing
                with catalog.transaction() as transaction:
                    for kind in KINDS:
                        remove_said(transaction, kind, [labels.image.id for labels, _ in changes], [XMP])
                    add_said(transaction, "tags", [(x.image.id, tag, XMP) for x, said in changes for tag in said.tags])
                    add_said(transaction, "captions", [(x.image.id, s.caption, XMP) for x, s in changes if s.caption])
                    rated = [(x.image.id, s.rating, XMP) for x, s in changes if s.rating is not None]
                    add_said(transaction, "ratings", rated)
            changed = {labels.image.id for labels, _ in changes} | _take_facts(catalog, reader, facts)
            report.changed += len(changed)
            on_progress(report.pictures, len(ids))
    return report


def _without_ours(said: Xmp, labels: ImageLabels) -> Xmp:
    """XMP without what photoseek wrote there for this picture: its user said that, not another program.

    In another or a rebuilt gallery nobody has said it yet, and it is imported like everything else.
    """
    if said.ours is None:
        return said
    own = {fold(tag.text) for tag in labels.tags if tag.source != XMP} & {fold(tag) for tag in said.ours.tags}
    captions = {each.text for each in labels.captions if each.source != XMP}
    ratings = {stars for source, stars in labels.ratings.items() if source != XMP}
    return replace(
        said,
        tags=tuple(tag for tag in said.tags if fold(tag) not in own),
        caption=None if said.caption == said.ours.caption and said.caption in captions else said.caption,
        rating=None if said.rating == said.ours.rating and said.rating in ratings else said.rating,
    )


def _look(picture: str, folders: Sidecars, report: ImportReport) -> tuple[Xmp, str] | None:
    """The present XMP of a picture and where it is: ``sidecar`` or ``xmp``; None if that cannot be determined."""
    try:
        found = folders.find(picture)
        if found is not None:
            report.sidecars += 1
            return found[1], "sidecar"
        said = read_embedded(picture)
        report.embedded += said != Xmp()
        return said, "xmp"
    except UnreadableXmp as error:
        report.problems[folders.asked or picture] = str(error)
    except OSError as error:
        report.problems[folders.asked or picture] = describe_os_error(error)
    except FolderOutOfReach as error:
        report.problems[str(error)] = "the folder is out of reach"
    return None


def _as_known(labels: ImageLabels) -> tuple[frozenset[str], str | None, int | None]:
    caption = next((said.text for said in labels.captions if said.source == XMP), None)
    return _keys(said.text for said in labels.tags if said.source == XMP), caption, labels.ratings.get(XMP)


def _keys(tags: Iterable[str]) -> frozenset[str]:
    return frozenset(fold(tag) for tag in tags)


def _take_facts(catalog: Catalog, reader: CatalogReader, facts: Sequence[tuple[ImageLabels, Xmp, str]]) -> set[int]:
    """Dates and places of pictures that have none of their own; the ids of those that changed."""
    known = dates_and_places(reader, [labels.image.id for labels, _, _ in facts])
    changed: dict[int, DateAndPlace] = {}
    for labels, said, source in facts:
        before = known[labels.image.id]
        after = DateAndPlace(*with_date(before[:5], said, source), *with_place(before[5:], said, source))
        if after != before:
            changed[labels.image.id] = after
    if changed:
        with catalog.transaction() as transaction:
            set_dates_and_places(transaction, changed.items())
    return set(changed)


def _in_blocks(reader: CatalogReader, ids: Sequence[int]) -> Iterator[list[ImageLabels]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield labels_of(reader, ids[start : start + _AT_ONCE])
