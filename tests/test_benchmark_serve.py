"""The load test runs: a real server, clients in a separate process, and all cells of its tables are figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import Data
from benchmarks.galleries import photo_gallery
from benchmarks.load import KINDS, VOCABULARY, Person, Tally
from benchmarks.run import write_results
from benchmarks.serve import write_sections
from benchmarks.tables import Table, sections
from retrieval.pictures.images import content_hash
from tests.fakes import ColourEncoder
from tests.test_benchmarks import table, value

pytest.importorskip("fastapi", reason="needs photoseek[web]")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("load")
    sizes = ["--clients", "4", "--seconds", "2.5", "--pause", "0.2", "--photos", "60"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks.serve", *sizes, "--data", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PHOTOSEEK_MODELS": str(folder / "none"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_waits_are_told_by_kind_and_nothing_failed(printed: str) -> None:
    rows = table(printed, "Serving: 4 clients, 60 photos")
    for phase in ("without a pause", "as people do"):
        kinds = {name: cells for name, cells in rows.items() if name.startswith(phase) and not name.endswith("all")}
        assert f"{phase}: search by words" in kinds
        for cells in kinds.values():
            p50, p99, slowest = (value(cell) for cell in cells[1:4])
            assert 0 < p50 <= p99 <= slowest
        total = rows[f"{phase}: all"]
        assert value(total[0]) == sum(value(cells[0]) for cells in kinds.values())
        assert f"* {phase}: 0 errors; 0 refused with 503" in printed


def test_memory_and_the_bare_search_stand_beside_it(printed: str) -> None:
    memory = table(printed, "Serving: memory")
    assert len(memory) == 4
    assert all(value(cells[0]) > 30 for cells in memory.values())
    bare = table(printed, "Serving: the bare search")
    p50 = {stage: value(cells[0]) for stage, cells in bare.items()}
    assert 0 < p50["text tower"] < p50["all of it"]


def test_the_gallery_has_pictures_that_can_be_shown(tmp_path: Path) -> None:
    gallery = photo_gallery(Data(tmp_path), 30, ColourEncoder())
    with gallery.reader() as reader:
        records = reader.records(list(range(1, 31)))
        summary = reader.summary()
        assert len(np.unique(reader.vectors([record.id for record in records], reader.encoders()[0]), axis=0)) == 30
    assert len(records) == 30
    assert all(record.on_disk() == "same" for record in records)
    assert all(content_hash(Path(record.path).read_bytes()) == record.content_hash for record in records)
    assert 15 < summary["with_date"] <= 30
    assert 0 < summary["with_place"] < 30


def test_people_ask_the_same_of_the_same_seed_and_as_often_as_they_should() -> None:
    asked = [Person(1, 100, list(VOCABULARY)).next() for _ in range(2)]
    assert asked[0] == asked[1]
    person = Person(2, 100, list(VOCABULARY))
    kinds = [person.next()[0] for _ in range(4000)]
    for kind, share in KINDS.items():
        assert 100 * kinds.count(kind) / len(kinds) == pytest.approx(share, abs=3)
    texts = [asked["q"] for kind, _, asked in (person.next() for _ in range(4000)) if kind == "search by words"]
    assert len(set(texts)) < 0.7 * len(texts)  # people repeat themselves
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 2000


def test_errors_are_counted_apart_from_refusals() -> None:
    tally = Tally()
    tally.seconds["similar"] += [0.1, 0.3]
    tally.errors["thumbnail: 500"] += 2
    tally.refused = 7
    told = tally.as_json(1.0, 0.5)
    assert told["kinds"] == {"similar": {"count": 2, "p50": 0.1, "p99": 0.3, "max": 0.3}}
    assert (told["errors"], told["refused"], told["shown_errors"]) == (2, 7, [("thumbnail: 500", 2)])


def test_results_of_both_benchmarks_share_a_file(tmp_path: Path) -> None:
    def one(title: str, cell: str) -> Table:
        return Table(title, ("what", "n"), [("a", cell)], ["note"])

    path = tmp_path / "RESULTS.md"
    write_results([one("Machine", "1"), one("Memory", "2")], path)
    write_sections([one("Serving: memory", "3")], path)
    write_sections([one("Serving: memory", "4"), one("Serving: more", "5")], path)
    assert list(sections(path.read_text())) == ["Machine", "Memory", "Serving: memory", "Serving: more"]
    write_results([one("Machine", "6")], path)
    tables = [one("Machine", "6"), one("Serving: memory", "4"), one("Serving: more", "5")]
    assert path.read_text() == "# Results\n\n" + "\n".join(each.to_markdown() for each in tables)
