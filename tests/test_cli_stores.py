"""Commands on pictures in an object store: a journey, and keys in addresses, which no output repeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES
from tests.retrieval.sources.s3_server import S3, s3_server
from tests.test_cli import Run, run

__all__ = ["run"]

WITH_KEY = "s3://key:hunter2@bucket/prefix"
COMMANDS = [
    ["index", WITH_KEY],
    ["index", WITH_KEY, "--dry-run"],
    ["index", str(EXAMPLES / "birds"), WITH_KEY],
    ["watch", WITH_KEY],
    ["search", "a dog", "--under", WITH_KEY],
    ["search", "--image", WITH_KEY],
    ["search", f"img:{WITH_KEY}"],
    ["similar", WITH_KEY],
    ["label", WITH_KEY, "--tag", "a"],
    ["forget", WITH_KEY],
]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with s3_server(monkeypatch) as server:
        for picture in sorted((EXAMPLES / "birds").glob("*.jpg"))[:4]:
            server.put(f"birds/{picture.name}", picture.read_bytes())
        yield server


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_key_in_an_address_is_refused_in_two_lines_and_not_repeated(
    run: Run, indexed_examples: Path, command: list[str]
) -> None:
    code, out, err = run(*command, gallery=indexed_examples)
    assert code == 2, err
    assert "hunter2" not in out + err
    assert err.splitlines()[-2] == "photoseek: an address of s3:// must not hold a name, a key or a port"


def test_a_journey_over_a_bucket(run: Run, s3: S3, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    root = f"{s3.root}/birds"
    names = [key.rpartition("/")[2] for key in s3.held()]

    def told(*command: str, code: int = 0) -> str:
        given, out, err = run(*command, gallery=gallery)
        assert given == code, err
        return out + err

    assert "there is nothing at" in told("index", f"{s3.root}/nothing", code=2)
    told("index", root)
    assert root in told("info")
    assert {line.rpartition("/")[2].split()[0] for line in told("search", "a bird").splitlines()} == set(names)
    assert f"{root}/{names[1]}" in told("similar", f"{root}/{names[0]}")
    told("search", "a bird", "--copy-to", str(tmp_path / "copies"))
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == sorted(names)
    assert "4 pictures as indexed" in told("verify")
    assert "cannot be watched" in told("watch", root, code=2)
    s3.put("birds/copy.jpg", (EXAMPLES / "birds" / names[0]).read_bytes())
    told("index")
    assert "it is in an object store, which photoseek only reads" in told("duplicates", "--trash")
    assert "birds/copy.jpg" in s3.held()
    told("forget", f"{root}/copy.jpg")
    assert "copy.jpg" not in told("search", "a bird")
    s3.stop()
    assert "the store cannot be reached; its 4 pictures are kept" in told("index")
    s3.start()
    told("index")
