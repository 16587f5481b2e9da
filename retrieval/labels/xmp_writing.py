"""Write the gallery's labels by people into XMP sidecars: keywords, caption and rating, and nothing else.

A sidecar records which parts photoseek wrote. So labels that the user removes are removed there, those of other
programs are not, and an import does not mistake photoseek's own labels for those of another program.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import canonicalize

from retrieval.filters import Filter
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.labels.labelling import find_images
from retrieval.labels.pairing import BACKUP, FolderOutOfReach, Sidecars
from retrieval.labels.reading import MERGED, USER, ImageLabels, Said, labels_of
from retrieval.labels.sidecars import import_xmp
from retrieval.labels.xmp import OURS, UnreadableXmp, Xmp, parse_xmp
from retrieval.labels.xmp_document import MOST_BYTES, XmpDocument
from retrieval.pictures.formats import RAW_EXTENSIONS
from retrieval.regular_files import describe_os_error, read_regular, replacing
from retrieval.sources.reading import why_not_written
from retrieval.undone import Refused

_DC, _XMP = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xap/1.0/"
_PHOTOSHOP, _MICROSOFT = "http://ns.adobe.com/photoshop/1.0/", "http://ns.microsoft.com/photo/1.0/"
_LISTS = ((_DC, "subject"), ("http://ns.adobe.com/lightroom/1.0/", "hierarchicalSubject"),
          ("http://www.digikam.org/ns/1.0/", "TagsList"))  # fmt: skip
"""Keywords, and lists of hierarchical keywords: a program that finds these may ignore the others."""

_PERCENT = {1: 1, 2: 25, 3: 50, 4: 75, 5: 99}
_AT_ONCE = 500
Outcome = Literal["new", "changed", "removed", "same"]


@dataclass(frozen=True)
class Written:
    """What happens, or would happen, to one picture's sidecar: its path, and the action in a few words."""

    picture: str
    sidecar: str
    outcome: Outcome
    what: str = ""


@dataclass
class WriteReport:
    """The result of a run.

    Attributes:
        pictures: how many were examined.
        written: sidecars that were created, changed or removed; in a dry run, that would be.
        problems: path of a sidecar, picture or folder -> why nothing was written.
        refused: format -> how many pictures have something to write, but of a format into which nothing is embedded.
    """

    pictures: int = 0
    written: list[Written] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def with_more(self, other: WriteReport) -> WriteReport:
        """This and another report about the same pictures."""
        pictures = max(self.pictures, other.pictures)
        problems, refused = self.problems | other.problems, self.refused + other.refused
        return WriteReport(pictures, self.written + other.written, problems, refused)


def write_xmp(
    gallery: Gallery,
    targets: Sequence[str | Path | int] = (),
    *,
    dry_run: bool = False,
    undo: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    refused: Refused | None = None,
) -> WriteReport:
    """Write what people say in the gallery into the sidecars of pictures.

    The sidecar of a picture is the one that an import reads (``pairing.Sidecars``); a new one is ``photo.jpg.xmp``, or
    ``photo.xmp`` for a raw file, as in Adobe's programs. A keyword that exists already, in any case or
    hierarchy, is not added. If a program keeps hierarchical keywords, ours are added there, too, at the top level. A
    caption and a rating by the user replace the existing ones, which are kept in the copy beside the sidecar
    (``BACKUP``). Pictures are not touched.

    Args:
        targets, refused: pictures, folders or ids (see ``labelling.find_images``); default: the whole gallery.
        dry_run: change nothing.
        undo: remove what photoseek wrote, and restore the earlier caption and rating.

    Raises:
        UnknownImage: the gallery holds nothing of a target.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    report = WriteReport()
    touched: list[int] = []
    with gallery.reader() as reader:
        ids = find_images(reader, targets, refused) if targets else reader.select(Filter()).tolist()
        folders = Sidecars()
        for start in range(0, len(ids), _AT_ONCE):
            for labels in labels_of(reader, ids[start : start + _AT_ONCE]):
                report.pictures += 1
                done = _one(labels, folders, report, dry_run=dry_run, undo=undo)
                if done is not None:  # also "same": a run may have been killed before it imported
                    touched.append(labels.image.id)
                    if done.outcome != "same":
                        report.written.append(done)
            on_progress(report.pictures, len(ids))
    if touched and not dry_run:
        import_xmp(gallery, touched)  # replaced values are no longer in the XMP
    return report


def _one(labels: ImageLabels, folders: Sidecars, report: WriteReport, *, dry_run: bool, undo: bool) -> Written | None:
    picture = labels.image.path
    wanted = Xmp() if undo else said_by_people(labels)
    place = picture
    if (why := why_not_written(picture)) is not None:
        if wanted != Xmp():
            report.problems[picture] = why
        return None
    try:
        found = folders.find(picture)
        if found is None and wanted == Xmp():
            return None
        place = found[0] if found is not None else new_sidecar(picture)
        data = b"" if found is None else read_regular(place, MOST_BYTES)
        before = _backup(place) if undo else None
        made, what = edited(data, wanted, picture, None if before is None else parse_xmp(before))
        if made is None:
            return Written(picture, place, "same")
        if before is not None and made and _is_alike(made, before):
            made = before  # restored byte for byte
        outcome: Outcome = "removed" if not made else "changed" if data else "new"
        if not dry_run:
            _write(place, data, made, undo=undo)
            folders.forget(os.path.dirname(picture))
        return Written(picture, place, outcome, what)
    except UnreadableXmp as error:
        report.problems[folders.asked or place] = str(error)
    except OSError as error:
        report.problems[folders.asked or place] = describe_os_error(error)
    except FolderOutOfReach as error:
        report.problems[str(error)] = "the folder is out of reach"
    return None


def said_by_people(labels: ImageLabels) -> Xmp:
    """The labels by people in the gallery, which the XMP is to contain."""

    def own(said: Sequence[Said]) -> list[str]:
        return [each.text for source in (USER, MERGED) for each in said if each.source == source]

    captions = own(labels.captions)
    rating = labels.ratings.get(USER, labels.ratings.get(MERGED))
    return Xmp(tuple(dict.fromkeys(own(labels.tags))), captions[0] if captions else None, rating)


def new_sidecar(picture: str) -> str:
    """The path for the new sidecar of a picture."""
    stem, extension = os.path.splitext(picture)  # noqa: PTH122 - names need not be text
    return f"{stem}.xmp" if extension.lower() in RAW_EXTENSIONS else f"{picture}.xmp"


def edited(data: bytes, wanted: Xmp, picture: str, before: Xmp | None = None) -> tuple[bytes | None, str]:
    """An edited sidecar with the wanted contents, and a description of the changes.

    Args:
        data: the present sidecar; empty: there is none.
        wanted: keywords, caption and rating by photoseek; earlier ones by photoseek that are not in it are removed.
        picture: its path.
        before: contents of the sidecar before photoseek first wrote into it, to restore replaced values.

    Returns:
        None if nothing changes; empty if nothing is left but properties that photoseek adds to its own.

    Raises:
        UnreadableXmp: see ``XmpDocument``.
    """
    said = parse_xmp(data) if data else Xmp()
    ours = said.ours or Xmp()
    document = XmpDocument(data)
    words = [
        *_edit_tags(document, said, ours, wanted.tags),
        *_edit_caption(document, said, ours, wanted.caption, None if before is None else before.caption),
        *_edit_rating(document, said, ours, wanted.rating, None if before is None else before.rating),
    ]
    if not words:
        return None, ""
    is_empty = not (wanted.tags or wanted.caption or wanted.rating is not None)
    if is_empty and _says_nothing(XmpDocument(document.to_bytes())):
        return b"", ", ".join(words)
    document.set_value(_XMP, "MetadataDate", datetime.now(UTC).isoformat(timespec="seconds"))
    if not data and picture.lower().endswith(tuple(RAW_EXTENSIONS)):
        document.set_value(_PHOTOSHOP, "SidecarForExtension", picture.rpartition(".")[2].upper())
    made = document.to_bytes()
    _check(parse_xmp(made), wanted)
    return made, ", ".join(words)


def _edit_tags(document: XmpDocument, said: Xmp, ours: Xmp, wanted: Sequence[str]) -> Iterator[str]:
    keys = {fold(tag) for tag in wanted}
    gone = [tag for tag in ours.tags if fold(tag) not in keys]
    known = {fold(tag) for tag in said.tags} - {fold(tag) for tag in gone}
    flat = {fold(text.strip()) for text in document.items(*_LISTS[0])}
    new = [tag for tag in wanted if fold(tag) not in known]
    missing = [tag for tag in wanted if fold(tag) in known and fold(tag) not in flat]  # only in a hierarchy
    for at, (namespace, name) in enumerate(_LISTS):
        is_there = at == 0 or document.has_items(namespace, name)
        document.remove_items(namespace, name, gone)
        if is_there:
            document.add_items(namespace, name, [*new, *(missing if at == 0 else ())])
    added = {fold(tag) for tag in (*ours.tags, *new, *missing)}
    now = [tag for tag in wanted if fold(tag) in added]
    if now != list(document.items(OURS, "Tags")):
        document.remove_items(OURS, "Tags", document.items(OURS, "Tags"))
        document.add_items(OURS, "Tags", now)
    yield from (f"+{tag}" for tag in (*new, *missing))
    yield from (f"-{tag}" for tag in gone)


def _edit_caption(document: XmpDocument, said: Xmp, ours: Xmp, wanted: str | None, before: str | None) -> Iterator[str]:
    if wanted is not None and wanted == said.caption:
        return
    if wanted is None and (ours.caption is None or ours.caption != said.caption):
        if ours.caption is not None:  # another program has changed it since
            document.set_value(OURS, "Caption", None)
            yield "caption left as it is"
        return
    document.set_default_text(_DC, "description", before if wanted is None else wanted)
    document.set_value(OURS, "Caption", wanted)
    yield "caption" if wanted is not None else "-caption"


def _edit_rating(document: XmpDocument, said: Xmp, ours: Xmp, wanted: int | None, before: int | None) -> Iterator[str]:
    if wanted is not None and wanted == said.rating:
        return
    if wanted is None and (ours.rating is None or ours.rating != said.rating):
        if ours.rating is not None:
            document.set_value(OURS, "Rating", None)
            yield "rating left as it is"
        return
    rating = before if wanted is None else wanted
    document.set_value(_XMP, "Rating", None if rating is None else str(rating))
    if document.value(_MICROSOFT, "Rating") is not None:
        percent = _PERCENT.get(0 if rating is None else rating)
        document.set_value(_MICROSOFT, "Rating", None if percent is None else str(percent))
    document.set_value(OURS, "Rating", None if wanted is None else str(wanted))
    yield f"rating {wanted}" if wanted is not None else "-rating"


def _says_nothing(document: XmpDocument) -> bool:
    """True if no property is left except those that photoseek adds to its own. The latter are removed."""
    document.set_value(_XMP, "MetadataDate", None)
    document.set_value(_PHOTOSHOP, "SidecarForExtension", None)
    return not document.has_properties()


def _check(made: Xmp, wanted: Xmp) -> None:
    """Raise UnreadableXmp unless the result has the wanted contents: it is parsed once more before it is written."""
    keys = {fold(tag) for tag in made.tags}
    lost = [tag for tag in wanted.tags if fold(tag) not in keys]
    if lost or wanted.caption not in (None, made.caption) or wanted.rating not in (None, made.rating):
        raise UnreadableXmp("of a form that is read but cannot be edited safely")


def _backup(place: str) -> bytes | None:
    """The sidecar from before photoseek wrote into it; None if there was none, or it cannot be read."""
    with suppress(OSError, UnreadableXmp):
        XmpDocument(data := read_regular(place + BACKUP, MOST_BYTES))
        return data
    return None


def _is_alike(made: bytes, before: bytes) -> bool:
    """Whether two documents are equal except for their metadata date, prefixes and whitespace."""

    def said(data: bytes) -> str:
        document = XmpDocument(data)
        document.set_value(_XMP, "MetadataDate", None)
        text = document.to_bytes().decode("utf-8")
        return canonicalize(text, strip_text=True, rewrite_prefixes=True)

    return said(made) == said(before)


def _write(place: str, data: bytes, made: bytes, *, undo: bool) -> None:
    """Replace a sidecar atomically, with the permissions of the previous one, whose first version is kept.

    Raises:
        OSError: it cannot be written; or it is a symbolic link, which would be replaced by a file.
    """
    if os.path.islink(place):  # noqa: PTH114 - names need not be valid text
        raise OSError("it is a link; write to what it points to")
    if not made:
        os.unlink(place)  # noqa: PTH108
        return
    is_foreign = bool(data) and parse_xmp(data).ours is None
    if is_foreign and not undo and not os.path.lexists(place + BACKUP):
        _put(place + BACKUP, data, like=place)
    _put(place, made, like=place if data else None)
    if undo:
        with suppress(FileNotFoundError):
            os.unlink(place + BACKUP)  # noqa: PTH108


def _put(place: str, data: bytes, like: str | None) -> None:
    with replacing(Path(place)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if like is not None:
            with suppress(OSError):  # a file system without permissions
                shutil.copymode(like, file.name)
