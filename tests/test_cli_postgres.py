"""Every command says the same of a gallery whose catalog is in PostgreSQL as of one in a file."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from tests.conftest import EXAMPLES
from tests.pictures import save_picture
from tests.test_cli import Run, run

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
from tests.retrieval.catalog.servers import new_address

__all__ = ["run"]

OWL, DOG, ROSE = "birds/owl.jpg", "animals/dog.jpg", "flowers/rose.jpg"

JOURNEY = """
index {photos}
search "a dog"
search "a dog" -n 3 --json
search "owl" --explain
search "no such thing at all" -n 2 --paths
search "bakery receipt" --paths
search "a bird" --under {photos}/birds --paths
search "a bird" --no-under {photos}/birds -n 5 --paths
search "a bird" --glob "*.PNG" --paths
search "a bird" --glob "birds/o*" --paths
search "a bird" --no-glob "b*/[a-m]*" -n 4 --paths
search "a bird" --orientation portrait -n 4 --paths
search "a bird" --format png -n 4 --paths
search "a bird" --after 1990 -n 4
search "a bird" --undated -n 3 --paths
search "a bird" --min-width 300 --max-bytes 20000 -n 4 --paths
search --camera canno
search --name owl --paths
search --kind photo --sort name -n 6 --paths
similar {photos}/{OWL} -n 3
similar id:3 -n 3
search "a dog" -i {photos}/{OWL} -n 3 --paths
label {photos}/{OWL} {photos}/{DOG} --tag Pets --tag "night bird" --rating 4 --favourite
label {photos}/{OWL} {photos}/{DOG} --caption "who at the Bakery is that"
label {photos}/{OWL}
label {photos}/{OWL} --untag pets
label {photos}/{DOG} --tag PETS --hide
search --tag pets --paths
search --hidden --paths
search "bakery" -n 2
search --caption "bakery is" --paths
search --min-rating 4 --favourite --paths
search --tag pet
tag --top 2
search --tag dog -n 3 --paths
album create "My pets" {photos}/{OWL} {photos}/{ROSE}
album create Birds --search "a bird" -n 3
album show "my pets" --paths
album show birds --paths
album order "my pets" {photos}/{ROSE}
album list
search --album "my pets" --paths
search --no-album "my pets" -n 3 --paths
album rename birds Vögel
album delete vögel --yes
album undelete vögel
search "a bird" --sort name -n 3 --paths
search "a bird" --group-bursts -n 3 --paths
duplicates
clusters
map
tune
info
info --failures
index
forget {photos}/flowers
search "a rose" -n 3 --paths
index --include flowers {photos}
search "a rose" -n 3 --paths
forget --purge {photos}/birds/owl.jpg
search "who at the bakery" -n 2 --paths
restore --labels
export {out} "a dog" -n 2
config get search.limit
models list
index --exclude "*.png" {photos}
info
"""


def commands(photos: Path, out: Path) -> list[list[str]]:
    said = JOURNEY.format(photos=photos, out=out, OWL=OWL, DOG=DOG, ROSE=ROSE)
    return [shlex.split(line) for line in said.strip().splitlines()]


def plain(text: str, place: Path) -> str:
    """Without what differs anyway: the gallery's folder, moments, and how long things took."""
    text = text.replace(str(place), "GALLERY").replace(place.name, "GALLERY")
    text = re.sub(r"^[\d,]+ of [\d,]+ .*\n", "", text, flags=re.MULTILINE)  # progress, if it took long
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+\d\d:\d\d|Z)?", "MOMENT", text)
    text = re.sub(r"\d+(\.\d+)? (s|ms|images/s|[kM]?B)\b", "MEASURED", text)
    return re.sub(r"\t\d+\.\d\d\b", "\tMEASURED", text)


def test_every_command_says_the_same(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSEEK_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PHOTOSEEK_DAEMON", "never")
    monkeypatch.setenv("COLUMNS", "200")
    address = new_address()
    said: dict[str, list[tuple[int, str, str]]] = {}
    for name in ("in-a-file", "in-server"):
        photos, place = tmp_path / "photos", tmp_path / name
        shutil.rmtree(photos, ignore_errors=True)
        for folder in ("animals", "birds", "flowers"):
            shutil.copytree(EXAMPLES / folder, photos / folder)
        shutil.copy2(photos / DOG, photos / "dog again.jpg")
        (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff not really")
        if name == "in-server":
            code, _, err = run("init", "--catalog", str(address), gallery=place)
            assert (code, "it is new" in err) == (0, True), err
        said[name] = []
        for words in commands(photos, tmp_path / f"out-{name}"):
            code, out, err = run(*words, gallery=place)
            said[name].append((code, plain(out, place), plain(err, place)))
            assert "Traceback" not in err, (words, err)
    assert (tmp_path / "in-server" / "catalog.toml").exists()
    assert not (tmp_path / "in-server" / "catalog.sqlite").exists()
    assert Gallery(tmp_path / "in-server").server() == address
    for words, one, two in zip(commands(Path("photos"), Path("out")), *said.values(), strict=True):
        assert two == one, " ".join(words)


def test_what_is_different_says_what_to_do(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSEEK_CONFIG", str(tmp_path / "config.toml"))
    place, address = tmp_path / "gallery", new_address()
    assert run("search", "a dog", gallery=place)[0] == 3
    assert run("init", "--catalog", str(address), gallery=place)[0] == 0
    assert run("search", "a dog", gallery=place)[:2] == (3, "")
    save_picture(tmp_path / "photos" / "red.jpg", "red")
    assert run("index", tmp_path / "photos", gallery=place)[0] == 0
    code, out, _ = run("verify", gallery=place)
    assert code == 0
    assert f"1 picture in {address}; PostgreSQL checks its pages and references itself" in out
    for words in (("backup", tmp_path / "backups"), ("verify", "--repair"), ("init", "--catalog", f"{address}x")):
        code, _, err = run(*words, gallery=place)
        assert (code, err.count("\n")) in ((3, 2), (0, 0), (2, 2)), err
        assert "Traceback" not in err
    assert "use pg_dump with the schema photoseek" in run("backup", tmp_path / "backups", gallery=place)[2]
    assert run("init", "--catalog", str(address), gallery=tmp_path / "two")[2].count("it holds 1 picture") == 1
    (tmp_path / "two" / "catalog.toml").write_text("nothing")
    assert run("info", gallery=tmp_path / "two")[0] == 3
    monkeypatch.setenv("PHOTOSEEK_CONFIG", str(tmp_path / "other.toml"))
    code, _, err = run("init", "--catalog", "postgresql://me:secret@127.0.0.1/x", gallery=tmp_path / "three")
    assert (code, "secret" in err) == (2, False)
