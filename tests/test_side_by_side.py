"""Two indexers, eight readers and a writer of labels on one gallery: every search sees one state, and nothing is lost.

``PHOTOSEEK_SIDE_BY_SIDE_ROUNDS`` (3 by default) makes it longer; 400 take about ten minutes on two cores.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from retrieval.errors import GalleryLocked, GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.maintenance.verify import verify
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.pictures import RGB, save_picture
from tests.retrieval.states import check_agreement, rows

ROUNDS = int(os.environ.get("PHOTOSEEK_SIDE_BY_SIDE_ROUNDS", "3"))
SEED = int(os.environ.get("PHOTOSEEK_SIDE_BY_SIDE_SEED", "1"))
READERS = 8
COLOURS = sorted(RGB)

_INDEXER = """
import sys
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder
while sys.stdin.readline():
    try:
        Indexer(Gallery(sys.argv[1]), ColourEncoder(streams=2, batch_size=3)).run(sys.argv[2])
        print("indexed", flush=True)
    except GalleryLocked:
        print("locked", flush=True)
"""


def _change(folder: Path, chance: random.Random) -> None:
    """A few pictures come, go, move and are replaced; the first letter of a name is that of its colour, always."""
    for _ in range(6):
        colour = chance.choice(COLOURS)
        save_picture(folder / f"{colour}-{chance.randrange(40)}.png", colour, seed=chance.randrange(1 << 30))
    files = sorted(folder.glob("*.png"))
    for path in chance.sample(files, min(3, len(files) // 2)):
        path.unlink()
    for path in chance.sample(sorted(folder.glob("*.png")), 2):
        path.rename(path.with_name(f"{path.stem.partition('-')[0]}-m{chance.randrange(1 << 20)}.png"))


class Reader(threading.Thread):
    """Searches until it is told to stop."""

    def __init__(self, gallery: Gallery, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"reader-{number}")
        self._gallery, self._ended, self._chance = gallery, stop, random.Random(f"{SEED} {number}")
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        encoder = ColourEncoder()
        while not self._ended.is_set() or not self.counts["searches"]:
            colour = self._chance.choice(COLOURS)
            try:
                with QueryEngine(self._gallery, encoder) as engine:
                    found = engine.search(Query.text(colour, k=1000))
            except GalleryNotFound:
                continue
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                return
            self.counts["searches"] += 1
            self.counts["hits"] += len(found)
            names = [hit.image.path for hit in found]
            if len(set(names)) != len(names):
                self.wrong.append(f"{colour}: a picture is listed twice")
            own = [hit.score for hit in found if Path(hit.image.path).name.startswith(colour)]
            others = [hit.score for hit in found if not Path(hit.image.path).name.startswith(colour)]
            if own and others and min(own) <= max(others):
                self.wrong.append(f"{colour}: a picture has another one's score")


def test_searches_see_one_state_while_others_write(tmp_path: Path) -> None:
    gallery, folder, chance = Gallery(tmp_path / "gallery"), tmp_path / "photos", random.Random(SEED)
    for number in range(30):
        save_picture(folder / f"{COLOURS[number % 5]}-s{number}.png", COLOURS[number % 5], seed=number)
    Indexer(gallery, ColourEncoder()).run(folder)
    command = [sys.executable, "-c", _INDEXER, str(gallery.path), str(folder)]
    indexers = [
        subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    stop = threading.Event()
    readers = [Reader(gallery, number, stop) for number in range(READERS)]
    for reader in readers:
        reader.start()
    told: Counter[str] = Counter()
    try:
        for number in range(ROUNDS):
            _change(folder, chance)
            for indexer in indexers:
                assert indexer.stdin is not None
                indexer.stdin.write("go\n")
                indexer.stdin.flush()
            with gallery.reader() as reader_of:
                ids = [row[0] for row in reader_of.rows("SELECT id FROM images WHERE NOT is_retired ORDER BY id")]
            chosen = chance.choice(ids)
            try:
                edit_labels(gallery, [chosen], LabelEdit((f"round {number}",)))
                told["labelled"] += 1
            except GalleryLocked:
                told["label locked"] += 1
            for indexer in indexers:
                assert indexer.stdout is not None
                told[indexer.stdout.readline().strip()] += 1
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        for indexer in indexers:
            indexer.communicate()
    assert told["indexed"] > 0 and told["indexed"] + told["locked"] == 2 * ROUNDS, told
    assert [wrong for reader in readers for wrong in reader.wrong] == []
    encoder = ColourEncoder()
    report = Indexer(gallery, encoder).run(folder)
    assert report.images == len(list(folder.glob("*.png")))
    check_agreement(gallery, encoder)
    assert {finding.state for finding in verify(gallery)} <= {"sound", "note"}
    kept = rows(gallery, "SELECT content_hash FROM kept_labels")
    said = rows(gallery, "SELECT i.content_hash FROM tags AS t JOIN images AS i ON i.id = t.image_id")
    assert len(said) + len(kept) >= told["labelled"] > 0, "a label that was committed is lost"
    searches = sum(reader.counts["searches"] for reader in readers)
    hits = sum(reader.counts["hits"] for reader in readers)
    print(f"{dict(told)}, {searches} searches, {hits} hits")
    assert searches >= READERS
