"""Files that are skipped by a walk, counted by type, so that nothing is skipped silently."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from retrieval.pictures.formats import RAW_EXTENSIONS, VIDEO_EXTENSIONS
from retrieval.pictures.optional import install_hint
from retrieval.streams import plural

HIDDEN = "hidden"
BY_DEFAULT = "left out by default"
BY_PATTERN = "left out by a pattern"
FORGOTTEN = "forgotten"
WITHOUT_EXTENSION = "without extension"
OTHER = "other files"

_KINDS = {
    "RAW": " ".join(extension[1:] for extension in RAW_EXTENSIONS),
    "video": " ".join(extension[1:] for extension in VIDEO_EXTENSIONS),
    "JPEG XL": "jxl",
    "SVG": "svg",
    "audio": "aac aif aiff amr flac m4a mid midi mp3 oga ogg opus wav wma",
    "other picture formats": "afphoto ai cdr clip cur dcm dds djvu dpx emf eps exr fits flif fpx hdr ico icns indd "
    "insp jbig2 jng jxr kra mng ora pcx pict pct pdn pix psb qoi ras rgbe sgi sketch svgz tga thm wbmp wdp wmf "
    "xbm xcf xpm",
    "documents": "csv doc docx epub htm html key md numbers odp ods odt pages pdf ppt pptx rtf tex txt xls xlsx",
    "archives": "7z bz2 gz iso rar tar tgz xz zip zst",
    "sidecars": "aae cos cop cot dop json pp3 thmb vrd xmp",
}
_BY_EXTENSION = {extension: kind for kind, extensions in _KINDS.items() for extension in extensions.split()}
_EXTENSION = re.compile(r"(?=[0-9_~-]*[A-Za-z])[A-Za-z0-9_~-]{1,12}\Z")

PassedOver = Counter[tuple[str, str]]
"""(kind, extension or name of folder) -> count."""


def extension_of(name: str) -> str | None:
    """The extension in lower case, without the dot; None for names like ``IMG_1`` or ``Scan 2021.05.06``."""
    _, dot, extension = name.rpartition(".")
    return extension.lower() if dot and _EXTENSION.match(extension) else None


def kind_of(extension: str) -> str:
    """``RAW``, ``video``, ... from the extension of a file that is not indexed."""
    return _BY_EXTENSION.get(extension, OTHER)


def as_json(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Kind -> extension -> count, for reports and for the catalog; most frequent first."""
    found: dict[str, dict[str, int]] = {}
    totals: Counter[str] = Counter()
    for (kind, _), count in counts.items():
        totals[kind] += count
    for kind, _ in totals.most_common():
        rows = [(what, count) for (k, what), count in counts.items() if k == kind]
        found[kind] = dict(sorted(rows, key=lambda row: (-row[1], row[0])))
    return found


def summed(stored: Iterable[str | None]) -> dict[str, dict[str, int]]:
    """The sum of the results of :func:`as_json` for several folders, each as JSON text."""
    total: PassedOver = Counter()
    for text in stored:
        for kind, rows in (json.loads(text) if text else {}).items():
            for what, count in rows.items():
                total[kind, what] += count
    return as_json(total)


def in_words(found: Mapping[str, Mapping[str, int]], shown: int = 3) -> list[tuple[str, str]]:
    """(kind, ``1,203 (cr2 1,000, nef 203)``) for display, most frequent first; with what to install to read them."""
    rows = []
    for kind, by_name in found.items():
        names = [f"{name} {count:,}" for name, count in list(by_name.items())[:shown] if name]
        more = ", ..." if len(by_name) > shown else ""
        how = f": {hint}" if (hint := install_hint(kind, by_name)) else ""
        rows.append((kind, f"{sum(by_name.values()):,}" + (f" ({', '.join(names)}{more})" if names else "") + how))
    return rows


def nothing_indexed(failures: int, passed_over: Mapping[str, Mapping[str, int]]) -> str:
    """Why a gallery is empty although folders were indexed, in one line."""
    reasons = []
    if failures:
        reasons.append(f"{plural(failures, 'file')} could not be read (photoseek info --failures)")
    reasons += [f"{kind} {count}" for kind, count in in_words(passed_over)]
    return "no picture could be indexed: " + ("; ".join(reasons) if reasons else "the folders contain none")
