"""Damage as users experience it: the real command on galleries with flipped, truncated, zeroed and mixed files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retrieval.commands import app as application
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES

QUERIES = ("a dog", "a red flower", "water")


@pytest.fixture
def gallery(indexed_examples: Path, tmp_path: Path) -> Path:
    """A copied gallery, which works as the first one does."""
    shutil.copytree(indexed_examples, tmp_path / "gallery")
    return tmp_path / "gallery"


def run(gallery: Path, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(application.app, [*arguments, "--gallery", str(gallery)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def ask(gallery: Path) -> list[list[tuple[str, float]]]:
    """Paths and scores of what is found."""
    answers = []
    for query in QUERIES:
        code, out, err = run(gallery, "search", query, "--json", "-n", "8")
        assert code == 0, err
        hits = [json.loads(line) for line in out.splitlines()]
        answers.append([(hit["path"], round(hit["score"], 5)) for hit in hits])
    return answers


def mended(gallery: Path) -> None:
    code, _, err = run(gallery, "index")
    assert code == 0, err


def damages(whole: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    size = len(whole)
    for part in range(3):  # its beginning, its middle, its end
        place = int(rng.integers(size * part // 3, size * (part + 1) // 3))
        yield (
            f"a bit of byte {place}",
            whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :],
        )
    for place in range(max(size - 8, 0), size):  # exponent, fraction and id
        yield f"a bit of byte {place}", whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :]
    yield "cut", whole[: size // 2]
    yield "zeros", whole[: size // 2] + bytes(size - size // 2)


def test_no_damage_in_the_index_shows_another_answer_and_index_mends_it(
    gallery: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, rng = ask(gallery), np.random.default_rng(13)
    folder = next((gallery / "index").iterdir())
    for name in [path.name for path in folder.iterdir()]:
        whole = (folder / name).read_bytes()
        for damage, content in damages(whole, rng):
            (folder / name).write_bytes(content)
            assert ask(gallery) == wanted, (name, damage)
        (folder / name).write_bytes(whole)
    for part in ("manifest", "vectors", "ids"):
        path = next(folder.glob(f"{part}*"))  # another name after each run
        data = bytearray(path.read_bytes())
        data[-3] ^= 0x40
        path.write_bytes(data)
        caplog.clear()
        assert run(gallery, "search", "a dog")[0] == 0
        assert "until photoseek index makes it anew" in caplog.text
        mended(gallery)
        caplog.clear()
        assert ask(gallery) == wanted
        assert caplog.text == ""


def test_files_of_the_index_under_each_others_name(gallery: Path) -> None:
    wanted = ask(gallery)
    vectors, ids = (next((gallery / "index").rglob(f"{name}-*")) for name in ("vectors", "ids"))
    first, second = vectors.read_bytes(), ids.read_bytes()
    vectors.write_bytes(second)
    ids.write_bytes(first)
    assert ask(gallery) == wanted
    mended(gallery)
    assert ask(gallery) == wanted


def test_an_index_of_another_gallery_is_not_believed(
    gallery: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same pictures in another order under the same change number: the ids mean other ones."""
    from retrieval.encoders.registry import load_encoder

    wanted = ask(gallery)
    pictures = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".jpg", ".png"))
    for number, path in enumerate(reversed(pictures)):
        target = tmp_path / "photos" / f"{number:04}{path.suffix}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    other = Gallery(tmp_path / "other")
    Indexer(other, load_encoder("builtin-224")).run(tmp_path / "photos")
    shutil.rmtree(gallery / "index")
    shutil.copytree(other.path / "index", gallery / "index")
    assert ask(gallery) == wanted
    assert "belongs to another catalog; the catalog is used instead" in caplog.text
    mended(gallery)
    caplog.clear()
    assert ask(gallery) == wanted
    assert caplog.text == ""


def test_a_damaged_embedding_is_told_and_made_again(gallery: Path) -> None:
    wanted = ask(gallery)
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(length(vector)) WHERE image_id % 9 = 0")
        connection.execute("UPDATE embeddings SET vector = x'00' WHERE image_id = 1")
    code, out, _ = run(gallery, "info", "--json")
    damaged = json.loads(out)["damaged"]
    assert code == 0 and damaged > 5
    assert "damaged" in run(gallery, "info")[1]
    assert run(gallery, "search", "a dog")[0] == 0
    code, _, err = run(gallery, "index")
    assert code == 0 and f"{damaged} (read again if the files exist)" in err
    assert json.loads(run(gallery, "info", "--json")[1])["damaged"] == 0
    assert ask(gallery) == wanted


def test_a_damaged_text_cache_or_thumbnail_store_stops_no_search(gallery: Path) -> None:
    wanted = ask(gallery)
    rng = np.random.default_rng(5)
    for name in ("text-cache.sqlite", "thumbnails.sqlite"):
        path = gallery / name
        whole = path.read_bytes() if path.exists() else bytes(8192)
        for damage, content in damages(whole, rng):
            path.write_bytes(content)
            assert ask(gallery) == wanted, (name, damage)
        path.unlink(missing_ok=True)
