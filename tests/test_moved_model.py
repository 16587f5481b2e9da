"""A gallery's model whose folder was moved or removed: the message, what still works, and how to repair it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.adapter import write_adapter
from retrieval.encoders.files.description import DESCRIPTION, read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.names.known_models import BUILTIN
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import EncoderMismatch, ModelGone, UnknownEncoder
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.conftest import EXAMPLES
from tests.test_cli import Run, run, two_lines

__all__ = ["run"]

BIRDS = EXAMPLES / "birds"


def adapter_in(folder: Path, *, turn: float = 0.1) -> Path:
    """An adapter on the built-in model that moves every picture a little."""
    base = load_encoder(BUILTIN).spec
    moved = np.eye(base.dim, dtype=np.float32)
    moved[0, 1] = turn
    write_adapter(folder, base, moved, np.zeros(base.dim, np.float32), "mine")
    return folder


def model_in(folder: Path, name: str = "own") -> Path:
    """A model of the built-in one's files, and of another fingerprint because its pictures are padded differently."""
    shutil.copytree(BUILTIN_FOLDER, folder)
    described = json.loads((folder / DESCRIPTION).read_text("utf-8")) | {"name": name}
    described["preprocessing"]["mean"] = [0.4, 0.4, 0.4]
    (folder / DESCRIPTION).write_text(json.dumps(described), "utf-8")
    described["fingerprint"] = read_encoder_folder(folder).fingerprint_of_files()
    (folder / DESCRIPTION).write_text(json.dumps(described), "utf-8")
    return folder


@pytest.mark.parametrize("make", [adapter_in, model_in])
def test_the_place_is_named_and_naming_the_new_one_helps(
    make: Callable[[Path], Path], run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, now = tmp_path / "first", tmp_path / "second"
    make(folder)
    assert run("index", BIRDS, "--model", folder, "-q")[0] == 0
    before = run("search", "a red bird", "--json")[1]
    folder.rename(now)
    loose = next((EXAMPLES / "food").glob("*.jpg"))
    for asked in (("search", "a green bird"), ("index",), ("index", "--dry-run"), ("similar", loose)):
        code, out, err = run(*asked)
        assert (code, out, two_lines(err)) == (3, "", True)
        what, hint = err.splitlines()
        assert str(folder) in what and "photoseek index --model" in hint
    assert run("similar", "id:1", "-n", "2", "--paths")[1].count("\n") == 2
    assert run("search", "--format", "jpeg", "-n", "all", "--paths")[1].count("\n") == len([*BIRDS.glob("*.jpg")])
    assert run("clusters")[0] == 0
    assert "the groups have no names" in caplog.text

    code, _, err = run("index", "--model", now)
    assert code == 0 and "unchanged" in err
    assert run("search", "a red bird", "--json")[1] == before
    assert run("index", "-q")[0] == 0  # which takes the model from where it lies now, and notes nothing else
    assert run("search", "a green bird")[0] == 0


def test_a_lost_adapter_is_followed_by_another_model(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "mine")
    run("index", BIRDS, "-q")
    run("index", "--model", folder, "-q")
    shutil.rmtree(folder)
    assert run("search", "a red bird")[0] == 3
    assert f"photoseek index --model {BUILTIN}" in run("search", "a red bird")[2]
    assert run("index", "--model", BUILTIN, "-q")[0] == 0
    assert run("search", "a red bird")[0] == 0


def test_a_model_that_went_from_the_models_folder_is_named_with_it(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "models" / "mine")
    assert run("index", BIRDS, "--model", "mine", "-q")[0] == 0
    folder.rename(tmp_path / "away")
    code, _, err = run("search", "a red bird")
    assert code == 3 and str(folder) in err.splitlines()[0]


def test_into_the_models_folder_is_a_place_where_it_is_found(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "mine")
    assert run("index", BIRDS, "--model", folder, "-q")[0] == 0
    (tmp_path / "models").mkdir()
    folder.rename(tmp_path / "models" / "under another name")
    assert run("search", "a red bird")[0] == 0


def test_another_model_in_its_place_is_not_taken_for_it(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "mine")
    assert run("index", BIRDS, "--model", folder, "-q")[0] == 0
    shutil.rmtree(folder)
    adapter_in(folder, turn=0.2)
    code, _, err = run("search", "a red bird")
    assert code == 3 and "other weights" in err.splitlines()[0]
    with Gallery(tmp_path / "gallery").reader() as reader:
        row = reader.encoders()[0]
    with pytest.raises(EncoderMismatch):
        load_encoder_by_fingerprint(row.fingerprint, row.name, row.source)


def test_a_namesake_elsewhere_is_not_taken_for_it(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "here" / "mine")
    assert run("index", BIRDS, "--model", folder, "-q")[0] == 0
    shutil.rmtree(folder)
    adapter_in(tmp_path / "models" / "mine", turn=0.2)
    code, _, err = run("search", "a red bird")
    assert code == 3 and str(folder) in err.splitlines()[0]


def test_what_an_adapter_stands_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    base = load_encoder(str(model_in(tmp_path / "base"))).spec
    eye, zero = np.eye(base.dim, dtype=np.float32), np.zeros(base.dim, np.float32)
    write_adapter(tmp_path / "mine", base, eye, zero, "mine")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ModelGone) as gone:
        load_encoder(str(tmp_path / "mine"))
    assert str(tmp_path / "base") in gone.value.message and "mine" in gone.value.message
    assert str(tmp_path / "models") in gone.value.hint
    (tmp_path / "models").mkdir()
    (tmp_path / "moved").rename(tmp_path / "models" / "moved")
    assert load_encoder(str(tmp_path / "mine")).spec.name == "mine"


@pytest.mark.parametrize(
    "name", ["local-dir:{}/gone", "{}/gone/open_clip.safetensors", "dinov2-b14={}/gone.safetensors"]
)
def test_models_on_torch_are_named_by_the_path_in_their_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelGone) as gone:
        load_encoder_by_fingerprint("ab" * 32, name.format(tmp_path), "folder/weights.safetensors")
    assert f"{tmp_path}/gone" in gone.value.message and gone.value.exit_code == 3


def test_a_path_at_which_nothing_lies_is_no_model_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="there is no") as unknown:
        load_encoder(str(tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in unknown.value.message


def test_an_open_engine_follows_a_model_that_is_put_elsewhere(run: Run, tmp_path: Path) -> None:
    folder = adapter_in(tmp_path / "mine")
    assert run("index", BIRDS, "--model", folder, "-q")[0] == 0
    with QueryEngine(Gallery(tmp_path / "gallery"), remember_texts=False) as engine:
        folder.rename(tmp_path / "moved")
        with pytest.raises(ModelGone):
            engine.search(Query.text("a red bird"))
        assert run("index", "--model", tmp_path / "moved", "-q")[0] == 0
        assert len(engine.search(Query.text("a red bird", k=2))) == 2
