"""What ``photoseek info`` tells about a gallery."""

from __future__ import annotations

import json
from typing import IO, Any

from retrieval.gallery import Gallery
from retrieval.output import human_bytes, printable, write_pairs
from retrieval.reader import CatalogReader


def overview(gallery: Gallery, reader: CatalogReader) -> dict[str, Any]:
    """Everything that ``info`` shows, as plain values (bytes, counts, ISO dates)."""
    active = reader.active_encoder()
    spec = None if active is None else gallery.spec_in_use(active)
    encoders = [
        {
            "name": row.name,
            "fingerprint": row.fingerprint,
            "dim": row.dim,
            "licence": row.licence,
            "images": reader.count(row.id),
            "active": active is not None and row.id == active.id,
        }
        for row in reader.encoders()
    ]
    return {
        "gallery": str(gallery.path),
        "images": reader.count(),
        "folders": reader.roots(),
        "encoders": encoders,
        "index": None if spec is None else str(spec),
        "index_reason": "asked for with --index-spec" if reader.index_spec() else "chosen by size",
        "bytes_on_disk": gallery.bytes_on_disk(),
        "failures": reader.failure_count(),
        "last_run": reader.last_run(),
        **reader.summary(),
    }


def write_overview(gallery: Gallery, reader: CatalogReader, out: IO[str], *, as_json: bool = False) -> None:
    """Print the overview for a person, or as one JSON object."""
    facts = overview(gallery, reader)
    if as_json:
        out.write(json.dumps(facts) + "\n")
        return
    rows = [("gallery", facts["gallery"]), ("pictures", _pictures(facts))]
    rows += [("folder", printable(folder)) for folder in facts["folders"]]
    for encoder in facts["encoders"]:
        use = "in use" if encoder["active"] else "not in use"
        rows.append(
            (
                "model",
                f"{encoder['name']} ({use}; {encoder['images']:,} pictures, fingerprint {encoder['fingerprint'][:12]})",
            )
        )
    rows.append(("index", f"{facts['index'] or 'none'} ({facts['index_reason']})"))
    sizes = facts["bytes_on_disk"]
    rows.append(("on disk", f"catalog {human_bytes(sizes['catalog'])}, index {human_bytes(sizes['index'])}"))
    if facts["first_taken_at"]:
        rows.append(("taken", f"{facts['first_taken_at'][:10]} to {facts['last_taken_at'][:10]}"))
    rows.append(("known of", f"date of {facts['with_date']:,}, place of {facts['with_place']:,}"))
    if facts["retired"]:
        rows.append(("gone files", f"{facts['retired']:,} (their embeddings are kept in case they come back)"))
    failures = facts["failures"]
    rows.append(("failures", f"{failures:,}" + (" (list them: photoseek info --failures)" if failures else "")))
    rows.append(("last run", _last_run(facts["last_run"])))
    write_pairs(rows, out)


def write_failures(reader: CatalogReader, out: IO[str], *, as_json: bool = False) -> None:
    """List every file that cannot be used: reason and path, a line each."""
    for failure in reader.failures():
        if as_json:
            out.write(json.dumps(vars(failure)) + "\n")
        else:
            out.write(f"{failure.reason}\t{printable(failure.path)}\n")


def _pictures(facts: dict[str, Any]) -> str:
    formats = ", ".join(f"{count:,} {name}" for name, count in facts["formats"].items())
    return f"{facts['images']:,}" + (f" ({formats})" if formats else "")


def _last_run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none"
    if run["outcome"] is None:
        return f"{run['started_at']}: still running, or killed; the next run goes on from there"
    report = run["report"]
    seconds = report["seconds"].get("total", 0.0)
    return f"{run['started_at']}: {run['outcome']}, {report['encoded']:,} encoded in {seconds:.1f} s"
