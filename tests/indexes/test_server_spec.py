"""Addresses of servers as specifications: one line that is parsed again, without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from indexes import IndexSpec, IndexUnreachable, SpecError
from indexes.server_secrets import secret
from indexes.server_spec import ServerSpec


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("milvus:///srv/my%20photos/x.db", "milvus:///srv/my%20photos/x.db?index=AUTOINDEX"),
        ("milvus:///srv/my photos/x.db", "milvus:///srv/my%20photos/x.db?index=AUTOINDEX"),
        ("milvus+http://db.example", "milvus+http://db.example?index=AUTOINDEX"),
        (
            "milvus+https://db.example:19530/team?index=hnsw&M=32&prefix=archive",
            "milvus+https://db.example:19530/team?index=HNSW&M=32&efConstruction=200&prefix=archive",
        ),
        ("milvus+http://[::1]:19530?index=IVF_SQ8&nlist=64", "milvus+http://[::1]:19530?index=IVF_SQ8&nlist=64"),
        ("milvus+http://a:1?index=DISKANN", "milvus+http://a:1?index=DISKANN"),
        ("pgvector", "pgvector://?index=HNSW&m=16&ef_construction=128"),
        (
            "pgvector://me@db:5432/photos?sslmode=verify-full&index=FLAT",
            "pgvector://me@db:5432/photos?index=FLAT&sslmode=verify-full",
        ),
    ],
)
def test_an_address_is_a_specification(text: str, whole: str) -> None:
    spec = IndexSpec.parse(text)
    assert isinstance(spec, ServerSpec)
    assert str(spec) == whole
    assert IndexSpec.parse(whole) == spec
    assert not spec.needs_training


@pytest.mark.parametrize(
    ("text", "knobs"),
    [
        ("milvus+http://a?index=HNSW", ("ef_search",)),
        ("milvus+http://a?index=IVF_SQ8", ("nprobe",)),
        ("milvus+http://a?index=DISKANN", ()),
        ("pgvector", ("ef_search",)),
        ("pgvector?index=FLAT", ()),
    ],
)
def test_what_can_be_tuned_depends_on_the_method(text: str, knobs: tuple[str, ...]) -> None:
    assert IndexSpec.parse(text.replace("pgvector?", "pgvector://?")).knobs == knobs


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("milvus://x.db", "three slashes"),
        ("milvus:///srv/x", "ends with .db"),
        ("milvus+http://", "host and port"),
        ("milvus+http://a:99999999", "host and port"),
        ("milvus+http://a/b/c", "letters, digits"),
        ("milvus+http://a?index=HNSV", "HNSW"),
        ("milvus+http://a?index=HNSW&M=1", "from 4 to 256"),
        ("milvus+http://a?index=HNSW&m=16", "M, efConstruction"),
        ("milvus+http://a?prefix=A-B", "a-z"),
        ("pgvector://h/db?sslmode=maybe", "verify-full"),
    ],
)
def test_a_wrong_address_is_told_with_what_is_right(text: str, told: str) -> None:
    with pytest.raises(SpecError) as error:
        IndexSpec.parse(text)
    assert told in error.value.hint


@pytest.mark.parametrize(
    "text",
    ["milvus+https://root:hush@a", "milvus+http://hush@a", "milvus+http://a#hush", "pgvector://me:hush@db/photos"],
)
def test_a_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SpecError) as error:
        IndexSpec.parse(text)
    assert "hush" not in str(error.value)
    assert "secret" in error.value.message


def test_vectors_that_a_graph_of_pgvector_cannot_take_are_refused() -> None:
    IndexSpec.parse("pgvector").check_dim(4000)
    IndexSpec.parse("pgvector://?index=FLAT").check_dim(4001)
    with pytest.raises(SpecError, match="4,000"):
        IndexSpec.parse("pgvector").check_dim(4001)


def test_a_secret_comes_from_the_environment_or_from_a_file_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\nsecond line\n")
    assert secret("SOME_TOKEN") == ""
    monkeypatch.setenv("SOME_TOKEN_FILE", str(file))
    if os.name != "nt":
        file.chmod(0o640)
        with pytest.raises(IndexUnreachable, match="others can read") as error:
            secret("SOME_TOKEN")
        assert error.value.hint == f"run: chmod 600 {file}"
    file.chmod(0o600)
    assert secret("SOME_TOKEN") == "from the file"
    monkeypatch.setenv("SOME_TOKEN", "given")
    assert secret("SOME_TOKEN") == "given"
    monkeypatch.delenv("SOME_TOKEN")
    file.write_text("\n")
    with pytest.raises(IndexUnreachable, match="no token"):
        secret("SOME_TOKEN")
    monkeypatch.setenv("SOME_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(IndexUnreachable, match="cannot be read"):
        secret("SOME_TOKEN")
