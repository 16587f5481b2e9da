"""docs/extending.md works as written: its packages are installed next to photoseek and used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def files_of(page: str) -> dict[str, str]:
    """Name -> content of the blocks that begin with a comment that names a file; those of one file, joined."""
    found: dict[str, str] = {}
    for name, body in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        found[name] = found.get(name, "") + body
    return found


def entry_points(toml: str) -> str:
    """The tables of a pyproject.toml as the entry_points.txt that an installation writes."""
    return re.sub(r'\[project\.entry-points\."(.+?)"\]', r"[\1]", toml).replace('"', "")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's packages are installed."""
    folder = tmp_path_factory.mktemp("packages")
    files = files_of(PAGE)
    tables = files.pop("pyproject.toml")
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(body, encoding="utf-8")
    installed = folder / "greyware-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: greyware\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(entry_points(tables))
    return folder


def photoseek(*arguments: str, gallery: Path, packages: Path | None) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *([str(packages)] if packages else [])]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "cli", *arguments, "--gallery", str(gallery)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PHOTOSEEK_DAEMON": "0"},
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_encoder_of_another_package(packages: Path, tmp_path: Path) -> None:
    done = photoseek("index", "photos", "--model", "greyware:colours", gallery=tmp_path, packages=packages)
    assert done.returncode == 0, done.stderr
    known = json.loads(photoseek("info", "--json", gallery=tmp_path, packages=None).stdout)
    assert [each["name"] for each in known["encoders"]] == ["greyware:colours"]
    # A new process finds it by the gallery alone, for a picture that the gallery does not know.
    other = tmp_path / "other.png"
    dog = ROOT / "examples" / "photos" / "animals" / "dog.jpg"
    from PIL import Image

    with Image.open(dog) as picture:
        picture.reduce(2).save(other)
    found = photoseek("similar", str(other), "-n", "1", "--paths", gallery=tmp_path, packages=packages)
    assert found.stdout.strip().endswith("dog.jpg"), found.stderr
    again = photoseek("index", "--model", "greyware:colours", "photos", gallery=tmp_path, packages=packages)
    assert again.returncode == 0 and "unchanged" in again.stderr, again.stderr
    words = photoseek("search", "a dog", gallery=tmp_path, packages=packages)
    assert words.returncode == 2 and "greyware:colours" in words.stderr, words.stderr


def test_a_package_that_is_gone_is_named(packages: Path, tmp_path: Path) -> None:
    done = photoseek("index", "photos/food", "--model", "greyware:colours", gallery=tmp_path, packages=packages)
    assert done.returncode == 0, done.stderr
    other = tmp_path / "other.png"
    other.write_bytes((ROOT / "examples" / "photos" / "animals" / "tiger.webp").read_bytes())
    gone = photoseek("similar", str(other), gallery=tmp_path, packages=None)
    assert gone.returncode == 3 and gone.stdout == ""
    assert gone.stderr.splitlines()[0].endswith(
        "no installed package has the encoders of greyware:, one of which made this gallery"
    )
    assert "install greyware again" in gone.stderr


def test_a_wrong_name_of_a_family_is_told_by_it(packages: Path, tmp_path: Path) -> None:
    done = photoseek("index", "photos", "--model", "greyware:nothing", gallery=tmp_path, packages=packages)
    assert done.returncode == 2 and "it has one: greyware:colours" in done.stderr, done.stderr


def test_a_kind_of_index_of_another_package(packages: Path, tmp_path: Path) -> None:
    done = photoseek("index", "photos", "--index-spec", "halves", gallery=tmp_path, packages=packages)
    assert done.returncode == 0, done.stderr
    known = json.loads(photoseek("info", "--json", gallery=tmp_path, packages=packages).stdout)
    assert known["index"] == "Halves"
    (vectors,) = (tmp_path / "index").rglob("vectors-*.npy")
    assert vectors.stat().st_size < 120 * 384 * 3, "two bytes a number"
    wanted = photoseek("search", "a tiger", "-n", "5", "--json", gallery=tmp_path, packages=packages)
    assert wanted.returncode == 0 and "tiger.webp" in wanted.stdout.splitlines()[0], wanted.stderr
    # Without its package the gallery goes on, and the next run makes an index of our own.
    without = photoseek("search", "a tiger", "-n", "5", "--json", gallery=tmp_path, packages=None)
    assert without.returncode == 0 and without.stdout == wanted.stdout, without.stderr
    assert photoseek("index", gallery=tmp_path, packages=None).returncode == 0
    known = json.loads(photoseek("info", "--json", gallery=tmp_path, packages=None).stdout)
    assert known["index"] == "Exact"


def test_a_kind_that_nobody_has_is_told(tmp_path: Path) -> None:
    done = photoseek("index", "photos", "--index-spec", "halves", gallery=tmp_path, packages=None)
    assert done.returncode == 2 and "'halves' is not an index specification" in done.stderr


def python(code: str, packages: Path, gallery: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(packages)])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": paths, "PHOTOSEEK_GALLERY": str(gallery)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_condition(packages: Path, indexed_examples: Path) -> None:
    code = (
        "import sys\n"
        "from greyware.kilopixels import ROW\n"
        "from retrieval.filters import conditions\n"
        "conditions.CONDITIONS = (*conditions.CONDITIONS, ROW)\n"
        "conditions.NAMED[ROW.name] = ROW\n"
        "import cli\n"
        "sys.argv = ['photoseek', 'search', '-n', 'all', '--paths', '--kilopixels', {!r}]\n"
        "cli.main()"
    )
    from PIL import Image

    sizes = {}
    for path in (ROOT / "examples" / "photos").rglob("*.*"):
        if path.suffix in (".jpg", ".png", ".webp"):
            with Image.open(path) as picture:
                sizes[str(path)] = picture.width * picture.height
    done = python(code.format("60"), packages, indexed_examples)
    large = {path for path, size in sizes.items() if size >= 60_000}
    assert 0 < len(large) < 120 and set(done.stdout.splitlines()) == large, done.stderr
    none = python(code.format("9000"), packages, indexed_examples)
    assert (none.returncode, none.stdout) == (1, "")
    assert (
        "--kilopixels" in python(code.format("x").replace("'--paths'", "'--help'"), packages, indexed_examples).stdout
    )


def test_a_command(packages: Path, indexed_examples: Path) -> None:
    code = "import sys, greyware.commands, cli; sys.argv = ['photoseek', {!r}]; cli.main()"
    done = python(code.format("count"), packages, indexed_examples)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "120 pictures\n")
    assert "How many pictures are indexed." in python(code.format("--help"), packages, indexed_examples).stdout


def test_a_route(packages: Path, indexed_examples: Path) -> None:
    pytest.importorskip("fastapi", reason="needs photoseek[web]")
    done = python(
        "from greyware.routes import router\n"
        "from fastapi.testclient import TestClient\n"
        "from retrieval.gallery import Gallery\n"
        "from retrieval.web.app import create_app\n"
        "from retrieval.web.settings import Settings\n"
        "app = create_app(Gallery(), Settings())\n"
        "app.include_router(router, prefix='/api/v1')\n"
        "with TestClient(app, base_url='http://127.0.0.1') as client:\n"
        "    print(client.get('/api/v1/count').json())",
        packages,
        indexed_examples,
    )
    assert done.stdout == "{'pictures': 120}\n", done.stderr
