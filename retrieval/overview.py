"""The contents of ``photoseek info``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import IO, Any

from indexes import IndexSpec
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.faces import face_counts
from retrieval.catalog.facets import rating_counts
from retrieval.catalog.labels import (
    caption_count,
    favourite_count,
    hidden_count,
    kept_label_count,
    predicted_counts,
    tag_counts,
)
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.stored import damaged_images
from retrieval.catalog.texts import text_counts
from retrieval.gallery import Gallery
from retrieval.indexing.default_exclusions import DESCRIPTION
from retrieval.output import counts_text, human_bytes, write_pairs
from retrieval.pictures.passed_over import in_words, summed
from retrieval.streams import plural, printable
from retrieval.sync import saved_manifest, wanted_spec
from retrieval.tuned import Tuning, read_tuning, tuning_text


def overview(gallery: Gallery, reader: CatalogReader) -> dict[str, Any]:
    """The contents of ``info`` as plain values (bytes, counts, ISO dates)."""
    active = reader.active_encoder()
    spec = None if active is None else gallery.spec_in_use(reader, active)
    tuning = None if active is None else read_tuning(gallery.index_path(active.fingerprint), spec)
    encoders = [
        {
            "name": row.name,
            "fingerprint": row.fingerprint,
            "dim": row.dim,
            "licence": row.licence,
            "images": reader.count(row.id),
            "active": active is not None and row.id == active.id,
            "predicted_tags": predicted_counts(reader, row.id),
        }
        for row in reader.encoders()
    ]
    return {
        "gallery": str(gallery.path),
        "images": reader.count(),
        "folders": reader.roots(),
        "encoders": encoders,
        "index": None if spec is None else str(spec),
        "index_reason": _index_reason(gallery, reader, active),
        "tuning": None if tuning is None else asdict(tuning),
        "effort": _effort(spec, tuning),
        "bytes_on_disk": gallery.bytes_on_disk(reader),
        "failures": reader.failure_count(),
        "damaged": 0 if active is None else len(damaged_images(reader, active)),
        "passed_over": summed(reader.passed_over()),
        "left_out": reader.exclusions().in_words(),
        "left_out_by_default": DESCRIPTION,
        "kept_labels": kept_label_count(reader),
        "tags": tag_counts(reader),
        "captions": caption_count(reader),
        "ratings": rating_counts(reader),
        "favourites": favourite_count(reader),
        "hidden": hidden_count(reader),
        "text": {"wanted": reader.reads_text(), **text_counts(reader)._asdict()},
        "faces": {"wanted": reader.finds_faces(), **face_counts(reader)._asdict()},
        "last_run": reader.last_run(),
        **reader.summary(),
    }


def write_overview(gallery: Gallery, reader: CatalogReader, out: IO[str], *, as_json: bool = False) -> None:
    """Print the overview as text, or as one JSON object."""
    facts = overview(gallery, reader)
    if as_json:
        out.write(json.dumps(facts) + "\n")
        return
    rows = [("gallery", facts["gallery"]), ("pictures", _pictures(facts))]
    rows += [("folder", printable(folder)) for folder in facts["folders"]]
    for encoder in facts["encoders"]:
        use = "in use" if encoder["active"] else "not in use"
        seen = plural(encoder["images"], "picture")
        rows.append(
            (
                "model",
                f"{encoder['name']} ({use}; {seen}, fingerprint {encoder['fingerprint'][:12]})",
            )
        )
    rows.append(("index", f"{facts['index'] or 'none'} ({facts['index_reason']})"))
    if facts["effort"]:
        rows.append(("effort", facts["effort"]))
    sizes = facts["bytes_on_disk"]
    rows.append(("on disk", f"catalog {human_bytes(sizes['catalog'])}, index {human_bytes(sizes['index'])}"))
    if facts["first_taken_at"]:
        rows.append(("taken", f"{facts['first_taken_at'][:10]} to {facts['last_taken_at'][:10]}"))
    known = {"date": facts["with_date"], "place": facts["with_place"], "exposure": facts["with_exposure"]}
    rows.append(("metadata", ", ".join(f"{what} of {count:,}" for what, count in known.items())))
    if unnamed := facts["without_place_name"]:
        what = plural(unnamed, "picture has", "pictures have")
        rows.append(("places", f"{what} a place without a name (pip install 'photoseek[places]', photoseek index)"))
    text = facts["text"]
    if text["wanted"] or text["read"] or text["failed"]:
        done = f"read in {text['read']:,} of {facts['images']:,}, {text['with_text']:,} have text"
        failed = f", {text['failed']:,} could not be read" if text["failed"] else ""
        later = " (photoseek index --ocr reads the others)" if text["unread"] else ""
        rows.append(("words", f"{done}{failed}{later}"))
    faces = facts["faces"]
    if faces["wanted"] or faces["looked"] or faces["failed"]:
        rows.append(("faces", _faces(faces, facts["images"])))
    if facts["motion_photos"] or facts["live_photos"]:
        inside = plural(facts["motion_photos"], "motion photo")
        rows.append(("short videos", f"in {inside}, beside {plural(facts['live_photos'], 'live photo')}"))
    rows += _label_rows(facts)
    if facts["retired"]:
        rows.append(("missing files", f"{facts['retired']:,} (their embeddings are kept in case they reappear)"))
    if facts["damaged"]:
        rows.append(("damaged", f"{facts['damaged']:,} in the catalog (photoseek index reads their pictures again)"))
    failures = facts["failures"]
    rows.append(("failures", f"{failures:,}" + (" (list them: photoseek info --failures)" if failures else "")))
    rows += [("excluded", printable(text)) for text in facts["left_out"]]
    rows += [("skipped files", f"{kind} {count}") for kind, count in in_words(facts["passed_over"], shown=8)]
    rows.append(("last run", _last_run(facts["last_run"], is_running=gallery.is_being_written())))
    write_pairs(rows, out)


def write_failures(reader: CatalogReader, out: IO[str], *, as_json: bool = False) -> None:
    """List every file that cannot be used: reason and path, one line each."""
    for failure in reader.failures():
        if as_json:
            out.write(json.dumps(vars(failure)) + "\n")
        else:
            again = " (retried in the next run)" if failure.is_passing else ""
            out.write(f"{printable(failure.reason)}{again}\t{printable(failure.path)}\n")


def _label_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Labels by people, and separately those predicted by each model: the most frequent tags with their counts."""
    rows = [("tags", counts_text(facts["tags"]))] if facts["tags"] else []
    if facts["captions"]:
        rows.append(("captions", f"{facts['captions']:,}"))
    if facts["ratings"]:
        stars = (f"{_stars(rating)} {count:,}" for rating, count in facts["ratings"].items())
        rows.append(("ratings", ", ".join(stars)))
    if facts["favourites"]:
        rows.append(("favourites", f"{facts['favourites']:,}"))
    if facts["hidden"]:
        rows.append(("hidden", f"{facts['hidden']:,}"))
    if facts["kept_labels"]:
        rows.append(("labels kept", f"of {plural(facts['kept_labels'], 'picture')} that are no longer in the gallery"))
    predicted = [(encoder["name"], encoder["predicted_tags"]) for encoder in facts["encoders"]]
    return rows + [("predicted", f"{counts_text(counts)} (by {name})") for name, counts in predicted if counts]


def _faces(faces: dict[str, Any], images: int) -> str:
    found = f"{faces['faces']:,}, in {faces['with_faces']:,} of the {images:,} looked at"
    groups = f"; {plural(faces['groups'], 'person', 'persons')}, {faces['named']:,} with a name"
    failed = f"; {faces['failed']:,} could not be looked at" if faces["failed"] else ""
    later = " (photoseek index --faces looks at the others)" if faces["waiting"] else ""
    return found + groups + failed + later


def _stars(rating: str) -> str:
    return rating if rating == "rejected" else plural(int(rating), "star")


def _index_reason(gallery: Gallery, reader: CatalogReader, active: EncoderRow | None) -> str:
    if active is None:
        return "nothing is indexed yet"
    saved = saved_manifest(gallery.index_path(active.fingerprint), reader, active)
    wanted, reason = wanted_spec(reader, active, saved)
    if saved is not None and saved.spec == wanted:
        return reason
    return f"photoseek index will make it {wanted}: {reason}"


def _effort(spec: IndexSpec | None, tuning: Tuning | None) -> str | None:
    """The search effort of the index, as text; None for kinds without settings."""
    if spec is None or not spec.knobs:
        return None
    if tuning is not None:
        return tuning_text(tuning)
    defaults = ", ".join(f"{knob} {getattr(spec, f'default_{knob}')}" for knob in spec.knobs)
    return f"{defaults} (the default; measure yours: photoseek tune)"


def _pictures(facts: dict[str, Any]) -> str:
    formats = ", ".join(f"{count:,} {name}" for name, count in facts["formats"].items())
    return f"{facts['images']:,}" + (f" ({formats})" if formats else "")


def _last_run(run: dict[str, Any] | None, *, is_running: bool) -> str:
    if run is None:
        return "none"
    started = local_time(run["started_at"])
    if run["outcome"] is None:
        if is_running:
            return f"{started}: still running"
        return f"{started}: interrupted (killed or crashed); the next run continues from there"
    report = run["report"]
    if run["outcome"] == "failed":
        return f"{started}: failed: {report['error']}"
    seconds = report["seconds"].get("total", 0.0)
    return f"{started}: {run['outcome']}, {report['encoded']:,} encoded in {seconds:.1f} s"


def local_time(stored: str) -> str:
    """A stored time (ISO 8601 with its offset) in this machine's time zone."""
    return datetime.fromisoformat(stored).astimezone().strftime("%Y-%m-%d %H:%M:%S")
