"""The tables of runs and of failures: what an indexer did, and which files it could not read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.access import Rows
from retrieval.catalog.records import utc_now
from retrieval.errors import GalleryError
from retrieval.paths import decode_path

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


@dataclass(frozen=True)
class Failure:
    """A file that could not be indexed, and why; if ``is_passing``, it is tried again in the next run."""

    path: str
    reason: str
    failed_at: str
    is_passing: bool = False


def all_failures(rows: Rows) -> list[Failure]:
    """Every file that could not be indexed and has not changed since, by path."""
    sql = """SELECT f.path, x.name, x.reason, x.failed_at, x.is_transient FROM failures AS x
             JOIN folders AS f ON f.id = x.folder_id ORDER BY f.path, x.name"""
    return [
        Failure(os.path.join(decode_path(folder), decode_path(name)), reason, failed_at, bool(is_passing))
        for folder, name, reason, failed_at, is_passing in rows.rows(sql)
    ]


def failure_count(rows: Rows) -> int:
    """How many files could not be indexed."""
    return int(rows.rows("SELECT count(*) FROM failures")[0][0])


def last_run(rows: Rows) -> dict[str, Any] | None:
    """The newest run: encoder, started_at, finished_at, outcome (None: killed or running), roots, report."""
    sql = """SELECT e.name, r.started_at, r.finished_at, r.outcome, r.roots, r.report
             FROM runs AS r JOIN encoders AS e ON e.id = r.encoder_id ORDER BY r.id DESC LIMIT 1"""
    found = rows.rows(sql)
    if not found:
        return None
    name, started, finished, outcome, roots, report = found[0]
    return {
        "encoder": name,
        "started_at": started,
        "finished_at": finished,
        "outcome": outcome,
        "roots": _value(roots),
        "report": _value(report) if report else None,
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise GalleryError("a report in the catalog is damaged", "run: photoseek index") from error


def begin_run(transaction: Transaction, encoder_id: int, roots: Sequence[str]) -> int:
    """Record that a run has started; its id."""
    return transaction.insert(
        "INSERT INTO runs (encoder_id, started_at, roots) VALUES (:encoder, :started, :roots)",
        {"encoder": encoder_id, "started": utc_now(), "roots": json.dumps(list(roots))},
    )


def finish_run(transaction: Transaction, run_id: int, outcome: str, report: dict[str, Any]) -> None:
    """Record how a run ended. A run without this record was killed."""
    transaction.run(
        "UPDATE runs SET finished_at = :finished, outcome = :outcome, report = :report WHERE id = :id",
        {"finished": utc_now(), "outcome": outcome, "report": json.dumps(report), "id": run_id},
    )
