"""Encoding on a Ray cluster: a real one, of two nodes on this machine, of which parts are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ray_nodes import Nodes, settings
from retrieval.catalog.batch import Metadata
from retrieval.catalog.orders import present_ids
from retrieval.encoders.registry import load_encoder
from retrieval.errors import WorkersLost
from retrieval.gallery import Gallery
from retrieval.indexing.cluster.on_ray import Cluster, on_ray
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import IndexReport, Progress
from tests.conftest import EXAMPLES
from tests.pictures import save_picture
from tests.retrieval.sources.s3_server import S3, s3_server
from tests.retrieval.sources.tars import jpeg, save_tar

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs photoseek[ray]"),
    pytest.mark.skipif(sys.platform != "linux", reason="the nodes are on 127.0.0.2 and 127.0.0.3"),
]
ROOT = Path(__file__).parents[3]
COLOURS = ("red", "green", "blue", "yellow", "white")
PICTURES = 200


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as changed, s3_server(changed) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(s3: S3) -> Iterator[Nodes]:
    """Two nodes, whose environment has the keys of ``s3``."""
    with pytest.MonkeyPatch.context() as changed:
        for name, value in settings().items():
            changed.setenv(name, value)
        made = Nodes(cpus=1)  # so that each has one of two workers
        yield made
        made.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(PICTURES):
        save_picture(folder / f"{number:03}.jpg", COLOURS[number % 5], seed=number, size=(256, 192))
    return folder


@pytest.fixture(scope="module")
def expected(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What this machine makes of ``many``."""
    place = Gallery(tmp_path_factory.mktemp("expected") / "gallery")
    Indexer(place, load_encoder("builtin-224", precision="fp32")).run(many)
    return rows(place)


def rows(gallery: Gallery) -> dict[str, tuple[bytes, Metadata]]:
    """Path -> the embedding and the metadata of each picture."""
    found = {}
    with gallery.reader() as reader:
        active = reader.active_encoder()
        assert active is not None
        for record in reader.records([int(each) for each in present_ids(reader)]):
            known = reader.embedding_of(record.content_hash, active.id)
            assert known is not None
            found[record.path] = (known[0], Metadata(*known[1]))
    return found


class Run:
    """Runs of an indexer on the cluster.

    Attributes:
        said: remarks for the user.
    """

    def __init__(self, gallery: Gallery, nodes: Nodes) -> None:
        self._nodes = nodes
        self.said: list[str] = []
        cluster = Cluster(nodes.address, precision="fp32", tell=self.said.append)
        encoder = load_encoder("builtin-224", precision="fp32")
        self._indexer = Indexer(gallery, encoder, workers=2, executor=on_ray(cluster))

    def __call__(self, folder: Path | list[Path | str], **given: Any) -> IndexReport:
        no_workers(self._nodes)
        return self._indexer.run(folder, **given)


def no_workers(nodes: Nodes) -> None:
    """Wait until those of the last run have ended."""
    end = time.monotonic() + 120
    while nodes.workers() and time.monotonic() < end:
        time.sleep(0.1)
    assert nodes.workers() == []


def after(count: int, do: Callable[[], None]) -> Callable[[Progress], None]:
    """Calls ``do`` once, when so many pictures are encoded."""
    done: list[bool] = []

    def look(progress: Progress) -> None:
        if progress.encoded >= count and not done:
            done.append(True)
            do()

    return look


def test_no_cluster_is_two_lines(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "cli.py"), "index", str(EXAMPLES / "birds"), "--executor", "ray", "-q"]
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(tmp_path / "gallery")}
    done = subprocess.run(
        [*command, "--address", "127.0.0.1:9"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 3
    assert "no Ray cluster answers at 127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_embeddings_are_those_of_this_machine(nodes: Nodes, s3: S3, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES, tmp_path / "photos"))
    (folder / "torn.jpg").write_bytes((folder / "birds" / "owl.jpg").read_bytes()[:900])
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    for colour in COLOURS:
        s3.put(f"holiday/{colour}.jpg", jpeg(colour, seed=1))
    save_tar(folder / "shard.tar", [(f"{colour}.jpg", jpeg(colour)) for colour in COLOURS])
    here, there = Gallery(tmp_path / "here"), Gallery(tmp_path / "there")
    local = Indexer(here, load_encoder("builtin-224", precision="fp32")).run([folder, s3.root], archives=True)
    run = Run(there, nodes)
    report = run([folder, s3.root], archives=True)
    assert rows(there) == rows(here)
    for place in ("shard.tar/", "s3://"):
        assert sum(place in path for path in rows(there)) == len(COLOURS)
    assert report.counts == local.counts and report.encoded == local.encoded
    with here.reader() as ours, there.reader() as theirs:
        assert {(f.path, f.reason) for f in theirs.failures()} == {(f.path, f.reason) for f in ours.failures()}
    assert run.said == ["workers  2 of Ray, on cpu (OpenVINO, fp32)"]

    # What is known is not encoded again; a run without files to read starts no Ray.
    shutil.copy(folder / "birds" / "owl.jpg", folder / "again.jpg")
    report = run([folder, s3.root], archives=True)
    assert (report.encoded, report.reused) == (0, 1)
    assert run([folder, s3.root], archives=True).unchanged == local.counts.added + 1 + local.counts.failed
    assert len(run.said) == 2


def test_lost_workers_and_nodes_lose_nothing(
    nodes: Nodes, many: Path, expected: dict[str, Any], gallery: Gallery
) -> None:
    run = Run(gallery, nodes)
    kill_worker = after(8, lambda: os.kill(nodes.workers()[0], signal.SIGKILL))
    kill_node = after(PICTURES // 2, lambda: nodes.kill(1))

    def tell(progress: Progress) -> None:
        kill_worker(progress)
        kill_node(progress)

    report = run(many, on_progress=tell)
    nodes.sessions.pop()
    nodes.join()
    assert rows(gallery) == expected
    assert report.counts.added == report.encoded == PICTURES and report.counts.failed == 0
    assert any("was lost; others read its files again" in said for said in run.said)


def test_notice_gives_back_and_an_interrupt_stops(
    nodes: Nodes, many: Path, expected: dict[str, Any], gallery: Gallery
) -> None:
    run = Run(gallery, nodes)
    stopped: list[bool] = []
    notice = after(8, lambda: os.kill(nodes.workers()[0], signal.SIGTERM))
    stop = after(PICTURES // 2, lambda: stopped.append(True))

    def tell(progress: Progress) -> None:
        notice(progress)
        stop(progress)

    first = run(many, on_progress=tell, stop=lambda: bool(stopped))
    assert first.interrupted
    assert any("got notice of its end" in said for said in run.said)
    assert not any("was lost" in said for said in run.said)
    kept = set(rows(gallery))
    assert PICTURES // 2 <= len(kept) < PICTURES

    second = run(many)
    assert second.encoded == PICTURES - len(kept) and not second.interrupted
    assert rows(gallery) == expected


def test_a_lost_head_ends_the_run_in_words(
    nodes: Nodes, many: Path, expected: dict[str, Any], gallery: Gallery
) -> None:
    run = Run(gallery, nodes)

    def kill() -> None:
        nodes.kill(1)  # it would go on: in 15 seconds it could read all that is left
        nodes.kill(0)

    with pytest.raises(WorkersLost) as caught:
        run(many, on_progress=after(8, kill))
    assert "Ray" in caught.value.message and "what was committed is kept" in caught.value.hint
    kept = len(rows(gallery)) if gallery.exists() else 0

    report = Indexer(gallery, load_encoder("builtin-224", precision="fp32")).run(many)
    assert report.encoded == PICTURES - kept
    assert rows(gallery) == expected


def test_nothing_is_left_running(nodes: Nodes) -> None:
    no_workers(nodes)
