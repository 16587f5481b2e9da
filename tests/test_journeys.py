"""The three journeys through the real command line with the real built-in model: index, search, similar."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retrieval.errors import GalleryError
from retrieval.gallery import Gallery

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "photos"


def photoseek(*arguments: str | Path, gallery: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "cli.py", *map(str, arguments)],
        env=os.environ | {"PHOTOSEEK_GALLERY": str(gallery)} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def hits(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Copies of three folders of the example photos."""
    for name in ("animals", "flowers", "vehicles"):
        shutil.copytree(EXAMPLES / name, tmp_path / "album" / name)
    return tmp_path / "album"


def test_index_then_search_then_similar(album: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    first = photoseek("index", album, gallery=gallery)
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "builtin-224" in first.stderr and "photoseek models fetch" in first.stderr
    total = sum(1 for file in album.rglob("*") if file.is_file())

    found = hits(photoseek("search", "a dog", "--json", "-n", "5", gallery=gallery))
    assert [hit["rank"] for hit in found] == [1, 2, 3, 4, 5]
    scores = [float(str(hit["score"])) for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert str(album.resolve() / "animals" / "dog.jpg") in {hit["path"] for hit in found[:3]}

    alike = hits(photoseek("similar", album / "animals" / "dog.jpg", "--json", "-n", "200", gallery=gallery))
    paths = [hit["path"] for hit in alike]
    assert len(paths) == total - 1
    assert str(album.resolve() / "animals" / "dog.jpg") not in paths

    again = photoseek("index", gallery=gallery)  # no folder: all that are known
    assert again.returncode == 0
    assert f"unchanged                {total}" in again.stderr


def test_a_changed_album_is_followed(album: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    photoseek("index", album, gallery=gallery)
    (album / "animals" / "dog.jpg").rename(album / "my dog.jpg")
    (album / "animals" / "cat.jpg").unlink(missing_ok=True)
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff not really")
    second = photoseek("index", album, gallery=gallery)
    assert second.returncode == 0, second.stderr
    assert "moved or renamed" in second.stderr and "failed" in second.stderr

    found = hits(photoseek("search", "a dog", "--json", "-n", "200", gallery=gallery))
    paths = {str(hit["path"]) for hit in found}
    assert str(album.resolve() / "my dog.jpg") in paths
    assert not any(path.endswith("animals/dog.jpg") for path in paths)

    listed = photoseek("info", "--failures", gallery=gallery)
    reason, _, path = listed.stdout.strip().partition("\t")
    assert reason
    assert path == str(album.resolve() / "broken.jpg")


def test_a_picture_from_elsewhere_is_a_query(album: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    photoseek("index", album, gallery=gallery)
    outside = tmp_path / "outside.jpg"
    shutil.copy(EXAMPLES / "animals" / "dog.jpg", outside)
    found = hits(photoseek("similar", outside, "--json", "-n", "1", gallery=gallery))
    # The same picture under another name is a find, not "the query itself".
    assert str(found[0]["path"]).endswith("animals/dog.jpg")
    assert float(str(found[0]["score"])) == pytest.approx(1.0, abs=0.01)  # stored as float16, encoded in bf16


def test_arithmetic_moves_the_ranking(indexed_examples: Path) -> None:
    plain = hits(photoseek("search", "a dog", "--json", "-n", "120", gallery=indexed_examples))
    minus = hits(
        photoseek("search", "a dog", "--without", "an animal", "--json", "-n", "120", gallery=indexed_examples)
    )
    mixed = hits(
        photoseek("search", "a dog", "-i", EXAMPLES / "food" / "lemon.png", "--json", gallery=indexed_examples)
    )
    assert [hit["path"] for hit in plain] != [hit["path"] for hit in minus]
    assert all(-1 <= float(str(hit["score"])) <= 1 for hit in plain + minus + mixed)
    assert any(str(hit["path"]).endswith("lemon.png") for hit in mixed)


def _has_pictures(gallery: Gallery) -> bool:
    try:
        with gallery.reader() as reader:
            return reader.count() > 0
    except GalleryError:  # not made yet
        return False


def test_interrupted_run_keeps_its_work_and_goes_on(tmp_path: Path) -> None:
    album, gallery = tmp_path / "album", tmp_path / "gallery"
    for copy in range(10):  # different bytes each, so that every one has to be encoded
        for photo in sorted(EXAMPLES.rglob("*.jpg")):
            target = album / f"{copy:02d}" / photo.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(photo.read_bytes() + bytes([copy]))
    total = sum(1 for _ in album.rglob("*.jpg"))
    child = subprocess.Popen(
        [sys.executable, ROOT / "cli.py", "index", album],
        env=os.environ | {"PHOTOSEEK_GALLERY": str(gallery)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not _has_pictures(Gallery(gallery)):  # of the first commit; hundreds are left then
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=600)
    assert child.returncode == 130, told
    assert "nothing is lost" in told and "continues from here" in told
    before = json.loads(photoseek("info", "--json", gallery=gallery).stdout)
    assert before["last_run"]["outcome"] == "interrupted"
    assert 0 < before["images"] < total

    done = photoseek("index", album, gallery=gallery)
    assert done.returncode == 0, done.stderr
    after = json.loads(photoseek("info", "--json", gallery=gallery).stdout)
    assert after["images"] == total
    assert after["last_run"]["report"]["unchanged"] == before["images"]
