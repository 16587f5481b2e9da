"""Output of tags, captions and probabilities: for people, or one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import IO

from retrieval.labels.classify import Classified
from retrieval.labels.labelling import EditReport, NotHeld
from retrieval.labels.reading import USER, ImageLabels, Said
from retrieval.labels.sidecars import ImportReport
from retrieval.labels.tagging import TagReport
from retrieval.labels.xmp_writing import WriteReport
from retrieval.streams import plural, printable

_SHOWN = 20


def write_labels(found: Iterable[ImageLabels | NotHeld], out: IO[str], *, as_json: bool = False) -> None:
    """All labels of pictures, each with its path and id; a model's predictions on a separate line."""
    for labels in found:
        if isinstance(labels, NotHeld):
            if as_json:
                out.write(json.dumps({"path": labels.path, "error": labels.error}) + "\n")
            continue
        if as_json:
            out.write(json.dumps(_as_json(labels)) + "\n")
            continue
        out.write(f"{printable(labels.image.path)} (id:{labels.image.id})\n")
        rows = [
            ("tags", ", ".join(map(_with_source, labels.tags))),
            *(("caption", _with_source(caption)) for caption in labels.captions),
            ("rating", "" if labels.rating is None else _rating(labels)),
            ("favourite", "yes" if labels.is_favourite else ""),
            ("hidden", "yes" if labels.is_hidden else ""),
            ("albums", ", ".join(map(printable, labels.albums))),
            ("predicted", ", ".join(f"{printable(p.tag)} {p.probability:.2f}" for p in labels.predicted)),
        ]
        for name, text in rows:
            if text:
                out.write(f"  {name:<9}  {text}\n")


def write_classified(found: Iterable[Classified], out: IO[str], *, as_json: bool = False) -> None:
    """Labels by probability: below each picture on a terminal, else lines of path, probability, label with tabs."""
    for picture in found:
        path = printable(picture.path)
        if picture.error:
            if as_json:
                out.write(json.dumps({"path": picture.path, "labels": [], "error": picture.error}) + "\n")
        elif as_json:
            labels = [{"label": p.tag, "probability": round(p.probability, 6)} for p in picture.labels]
            out.write(json.dumps({"path": picture.path, "labels": labels}) + "\n")
        elif out.isatty():
            out.write(f"{path}\n" + "".join(f"  {p.probability:.3f}  {printable(p.tag)}\n" for p in picture.labels))
        else:
            out.write("".join(f"{path}\t{p.probability:.4f}\t{printable(p.tag)}\n" for p in picture.labels))
        out.flush()  # the next picture takes a while


def write_tag_report(report: TagReport, out: IO[str], *, as_json: bool = False) -> None:
    """How many pictures got which tag: the most frequent tags, or all of them as one JSON object."""
    if as_json:
        out.write(json.dumps(asdict(report)) + "\n")
        return
    for tag, count in list(report.tags.items())[:_SHOWN]:
        out.write(f"{count:>7,}  {printable(tag)}\n")


def report_line(report: TagReport) -> str:
    """The result of ``photoseek tag`` in one line."""
    rest = len(report.tags) - _SHOWN
    more = f", {rest:,} more of them" if rest > 0 else ""
    return (
        f"{report.tagged:,} of {plural(report.pictures, 'picture')} got a tag from {report.encoder}: "
        f"{len(report.tags):,} of {plural(report.labels, 'label')} given{more}"
    )


def edit_line(report: EditReport) -> str:
    """The changes of an edit in one line."""
    parts = (
        (report.tags_added, "tag", "added"),
        (report.tags_removed, "tag", "removed"),
        (report.captions_added, "caption", "set"),
        (report.captions_removed, "caption", "removed"),
        (report.ratings_added, "rating", "set"),
        (report.ratings_removed, "rating", "removed"),
        (report.favourites_added, "favourite", "added"),
        (report.favourites_removed, "favourite", "removed"),
        (report.hidden_added, "picture", "hidden"),
        (report.hidden_removed, "picture", "shown again"),
    )
    changed = ", ".join(f"{n:,} {what}{'s' * (n > 1)} {done}" for n, what, done in parts if n)
    return f"{plural(report.pictures, 'picture')}: {changed or 'nothing to change'}"


def import_lines(report: ImportReport) -> list[str]:
    """What an import found and changed, and a line for each item that could not be used."""
    problems = [
        f"{printable(path)}: {reason}; its earlier imports are kept" for path, reason in report.problems.items()
    ]
    found = f"{report.sidecars:,} with a sidecar, {report.embedded:,} with embedded XMP"
    return [*problems, f"{plural(report.pictures, 'picture')}: {found}; {report.changed:,} updated"]


def write_written(report: WriteReport, out: IO[str], *, as_json: bool = False) -> None:
    """A line for each sidecar that is, or would be, written: what happens to it, and its path."""
    for each in report.written:
        if as_json:
            out.write(json.dumps(asdict(each)) + "\n")
        else:
            out.write(f"{each.outcome:<7}  {printable(each.sidecar)}  {printable(each.what)}\n")
    for path, reason in report.problems.items():
        if as_json:
            out.write(json.dumps({"sidecar": path, "error": reason}) + "\n")
        else:
            out.write(f"{'failed':<7}  {printable(path)}  {printable(reason)}\n")


def written_line(report: WriteReport, *, dry_run: bool) -> str:
    """The result of writing sidecars in one line."""
    done = {name: sum(each.outcome == name for each in report.written) for name in ("new", "changed", "removed")}
    parts = ", ".join(f"{count:,} {name}" for name, count in done.items() if count) or "nothing to write"
    failed = f"; {plural(len(report.problems), 'file')} not written" if report.problems else ""
    if report.refused:
        counts = ", ".join(f"{count:,} {form}" for form, count in report.refused.most_common())
        failed += f"; {counts}: nothing is embedded into such files (write sidecars, without --embed)"
    told = "; nothing is written without --yes" if dry_run and report.written else ""
    return f"{plural(report.pictures, 'picture')}: {parts}{failed}{told}"


def _rating(labels: ImageLabels) -> str:
    """The effective rating, and its source if that is not the user."""
    source, rating = next((source, value) for source, value in labels.ratings.items() if value == labels.rating)
    stars = "rejected" if rating < 0 else f"{rating} of 5"
    return stars if labels.ratings.get(USER) == rating else f"{stars} ({source})"


def _with_source(said: Said) -> str:
    text = " / ".join(map(printable, said.text.split("\n")))
    return text if said.source == USER else f"{text} ({said.source})"


def _as_json(labels: ImageLabels) -> dict[str, object]:
    return {
        "path": labels.image.path,
        "id": labels.image.id,
        "tags": [{"tag": said.text, "source": said.source} for said in labels.tags],
        "captions": [asdict(said) for said in labels.captions],
        "rating": labels.rating,
        "ratings": [{"rating": rating, "source": source} for source, rating in labels.ratings.items()],
        "favourite": labels.is_favourite,
        "hidden": labels.is_hidden,
        "albums": labels.albums,
        "predicted": [{"tag": p.tag, "probability": round(p.probability, 6)} for p in labels.predicted],
    }
