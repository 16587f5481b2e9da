"""Input of a training: captions, class folders, tars, a gallery; and how it is split."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.base import Preprocessing
from retrieval.errors import GalleryError, QueryError, SettingsError
from retrieval.gallery import Gallery
from retrieval.lab.training import sources as sources_module
from retrieval.lab.training.pairs import pairs_of_gallery, read_pairs, split_by_content
from retrieval.lab.training.pixels import load_pictures
from retrieval.lab.training.sources import Source, read_tar
from tests.pictures import save_picture

LOOK = Preprocessing(size=16)


def png(colour: str, seed: int = 0) -> bytes:
    from retrieval.lab.experiments.drawn import draw

    out = io.BytesIO()
    draw(f"{colour} circle", np.random.default_rng(seed)).save(out, "PNG")
    return out.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_captions_file(tmp_path: Path) -> None:
    file = tmp_path / "captions.tsv"
    file.write_text("path\tcaption\na.png\ta dog\ta brown dog\nb.png\ta cat\nc.png\ta dog\nd.png\ta bird\n")
    pairs = read_pairs(file)
    assert [source.path.name for source in pairs.sources] == ["a.png", "b.png", "c.png", "d.png"]
    assert pairs.said == ((0, 1), (2,), (0,), (3,))
    assert pairs.meanings == (("a dog",), ("a brown dog",), ("a cat",), ("a bird",))
    # Two pictures of which the same is said are no negatives of each other.
    rows = np.array([0, 1, 2])
    assert pairs.means(rows, np.array([0, 2, 0])).tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]


def test_class_folders_are_said_in_templates(tmp_path: Path) -> None:
    for name in ("red_fox", "cat"):
        for number in range(2):
            save_picture(tmp_path / name / f"{number}.png", "red", seed=number)
    pairs = read_pairs(tmp_path, templates=("a {}", "one {}"))
    assert pairs.names == ("cat", "red fox") and pairs.classes == (0, 1)
    assert pairs.meanings == (("a cat", "one cat"), ("a red fox", "one red fox"))
    assert pairs.said == ((0,), (0,), (1,), (1,))
    with pytest.raises(SettingsError):
        read_pairs(tmp_path, templates=("a",))


def test_tar_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MAX_PICTURE_BYTES", 100_000)
    pictures = {name: png("red", seed) for seed, name in enumerate("abcd")}
    big = b"\x89PNG" + bytes(100_000)
    tar = write_tar(
        tmp_path / "data.tar",
        [
            ("x/a.png", pictures["a"]), ("x/a.txt", b" a red\n circle "),
            ("b.json", json.dumps({"caption": "b", "width": 3}).encode()), ("b.png", pictures["b"]),
            ("c.png", pictures["c"]), ("c.json", b'{"captions": ["c1", "c2"]}'),
            ("big.png", big), ("big.txt", b"too large"),
            ("alone.txt", b"no picture"), ("../../d.png", pictures["d"]), ("../../d.txt", b"d"),
            ("broken.png", b"no picture at all"), ("broken.txt", b"broken"), ("bad.json", b"{"),
        ],
    )  # fmt: skip
    found = list(read_tar(tar))
    assert [captions for _, captions in found] == [["a red circle"], ["b"], ["c1", "c2"], ["d"], ["broken"]]
    assert [source.read() for source, _ in found[:4]] == list(pictures.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.tar"], "nothing is written"
    loaded = load_pictures(read_pairs(tar), LOOK)
    assert len(loaded) == 4 and loaded.pixels(np.arange(4)).shape == (4, 3, 16, 16)
    assert len(loaded.failed) == 1 and "data.tar at " in loaded.failed[0][0]


def test_a_tar_that_is_none(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", [("a.png", png("red")), ("a.txt", b"a")])
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:700])
    (tmp_path / "not.tar").write_bytes(b"hello" * 500)
    for name in ("cut.tar", "not.tar", "missing.tar"):
        with pytest.raises(QueryError, match="tar"):
            list(read_tar(tmp_path / name))


def test_what_is_in_no_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a.png,a dog\nb.png,a dog\n")
    with pytest.raises(QueryError, match="too few"):
        read_pairs(tmp_path / "x.csv")
    with pytest.raises(QueryError, match="no file of captions"):
        read_pairs(tmp_path / "x.bin")


def test_disliked_pairs_name_known_pictures_and_texts(tmp_path: Path) -> None:
    (tmp_path / "liked.tsv").write_text("".join(f"{n}.png\ttext {n}\n" for n in range(4)))
    (tmp_path / "not.tsv").write_text("0.png\ttext 1\n9.png\ttext 0\n1.png\tsomething new\n")
    pairs = read_pairs(tmp_path / "liked.tsv", disliked=tmp_path / "not.tsv")
    assert pairs.refused == ((0, 1), (4, 0), (1, 4))
    assert pairs.meanings[4] == ("something new",) and pairs.said[4] == ()
    assert pairs.take(np.array([1, 4])).refused == ((1, 0), (0, 4))


def test_a_gallery_where_nobody_said_anything(indexed: Gallery) -> None:
    with pytest.raises(GalleryError, match="nobody said anything"):
        pairs_of_gallery(indexed)


def test_a_gallery_with_tags_and_captions(indexed: Gallery) -> None:
    with indexed.writer() as catalog, catalog.transaction() as transaction:
        ids = [row[0] for row in transaction.connection.exec_driver_sql("SELECT id FROM images ORDER BY id")]
        tags = [(ids[0], "dog", "user"), (ids[0], "dog", "xmp"), (ids[1], "dog", "user"), (ids[2], "cat", "user"),
                (ids[3], "cat", "user")]  # fmt: skip
        transaction.connection.exec_driver_sql("INSERT INTO tags (image_id, tag, source) VALUES (?, ?, ?)", tags)
        transaction.connection.exec_driver_sql(
            "INSERT INTO captions (image_id, text, source) VALUES (?, ?, ?)", (ids[0], "our dog", "user")
        )
        transaction.connection.exec_driver_sql("UPDATE images SET is_retired = 1 WHERE id = ?", (ids[3],))
        transaction.connection.exec_driver_sql(
            "INSERT INTO captions (image_id, text, source) VALUES (?, ?, ?)", (ids[4], "nobody", "user")
        )
    pairs = pairs_of_gallery(indexed, templates=("a {}", "{}"))
    assert pairs.meanings == (("our dog",), ("a dog", "dog"), ("a cat", "cat"), ("nobody",))
    assert pairs.said == ((0, 1), (1,), (2,), (3,))


def test_unreadable_pictures_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        save_picture(tmp_path / f"{number}.png", "red", seed=number)
    (tmp_path / "2.png").write_bytes(b"nothing")
    (tmp_path / "captions.tsv").write_text("".join(f"{n}.png\ttext {n}\n" for n in (0, 1, 2, 3, 7)))
    loaded = load_pictures(read_pairs(tmp_path / "captions.tsv"), LOOK)
    assert [source.path.name for source in loaded.pairs.sources] == ["0.png", "1.png", "3.png"]
    assert [Path(name).name for name, _ in loaded.failed] == ["2.png", "7.png"]
    assert "2.png" in caplog.text and "7.png" in caplog.text


def test_pictures_that_do_not_fit_into_memory_are_decoded_again(tmp_path: Path) -> None:
    for number in range(4):
        save_picture(tmp_path / f"{number}.png", "red", seed=number)
    (tmp_path / "captions.tsv").write_text("".join(f"{n}.png\ttext {n}\n" for n in range(4)))
    pairs = read_pairs(tmp_path / "captions.tsv")
    kept, read = load_pictures(pairs, LOOK), load_pictures(pairs, LOOK, memory=100)
    assert kept.stored is not None and read.stored is None
    rows = np.array([3, 0])
    assert np.array_equal(kept.pixels(rows), read.pixels(rows))
    assert np.array_equal(next(read.batches([rows])), kept.pixels(rows))


def test_copies_are_never_on_both_sides() -> None:
    digests = [bytes([number // 3]) * 32 for number in range(90)]
    rows, held = split_by_content(digests, 0.2, seed=1)
    assert len(rows) + len(held) == 90 and len(held) == 18
    assert not {digests[row] for row in rows} & {digests[row] for row in held}
    again = split_by_content(digests[::-1], 0.2, seed=1)
    assert {digests[row] for row in held} == {digests[::-1][row] for row in again[1]}, "the order says nothing"
    assert {digests[row] for row in split_by_content(digests, 0.2, seed=2)[1]} != {digests[row] for row in held}


def test_a_split_has_two_sides() -> None:
    rows, held = split_by_content([b"a" * 32, b"b" * 32], 0.01)
    assert len(rows) == len(held) == 1
    with pytest.raises(QueryError):
        split_by_content([b"a" * 32] * 5, 0.2)
    with pytest.raises(SettingsError):
        split_by_content([b"a" * 32, b"b" * 32], 1.0)


def test_a_file_is_no_longer_than_a_picture_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MAX_PICTURE_BYTES", 10)
    (tmp_path / "a.png").write_bytes(bytes(11))
    with pytest.raises(OSError):
        Source(tmp_path / "a.png").read()
