"""Shared fixtures: a folder of small pictures, an encoder without weights, an empty gallery."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder
from tests.pictures import save_picture

if TYPE_CHECKING:
    from tests.crashes import Commands

EXAMPLES = Path(__file__).parent.parent / "examples" / "photos"

PHOTOS = {
    "red-1.jpg": "red",
    "red-2.png": "red",
    "green.jpg": "green",
    "trip/blue-1.jpg": "blue",
    "trip/blue-2.PNG": "blue",
    "trip/day two/yellow.jpg": "yellow",
}
"""Name in the ``photos`` folder -> its colour. Every picture is different."""


def pytest_configure() -> None:
    """Let Ctrl-C be heard, which many tests send: what a shell puts into the background starts with SIGINT ignored."""
    os.environ["PHOTOSEEK_CONFIG"] = os.devnull + "/none"  # what the person who runs the tests has set
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def priority() -> tuple[int, ...]:
    """How much of the processor this process gets beside others: its niceness and its scheduling policy."""
    if not hasattr(os, "sched_getscheduler"):
        return (os.nice(0),) if hasattr(os, "nice") else ()
    return os.nice(0), os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


@pytest.fixture(autouse=True)
def _priority_is_kept() -> Iterator[None]:
    """Fail a test that changes the priority of the tests' own process.

    All later tests, and the programs that they start, would run with it, and starve or be starved.
    """
    before = priority()
    yield
    assert priority() == before


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the six pictures of ``PHOTOS``."""
    folder = tmp_path / "photos"
    for seed, (name, colour) in enumerate(PHOTOS.items()):
        save_picture(folder / name, colour, seed=seed)
    return folder


@pytest.fixture
def encoder() -> ColourEncoder:
    """Two streams: the schedule of a CPU."""
    return ColourEncoder()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that use ``database`` run with a catalog in SQLite and with one in PostgreSQL; those that look into the
    file of the catalog are marked ``of_a_file`` and run with SQLite only."""
    if "database" in metafunc.fixturenames:
        is_of_a_file = metafunc.definition.get_closest_marker("of_a_file") is not None
        metafunc.parametrize("database", ["sqlite", *([] if is_of_a_file else ["postgres"])], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that has the catalogs of a test, whether it opens them by their paths or by ``gallery``."""
    if request.param == "postgres":
        pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
        from tests.retrieval.catalog.servers import in_server

        in_server(request.module, monkeypatch)
    return str(request.param)


@pytest.fixture
def gallery(tmp_path: Path, request: pytest.FixtureRequest) -> Gallery:
    """A gallery in which nothing was indexed yet; its folder does not exist, unless its catalog is in PostgreSQL."""
    made = Gallery(tmp_path / "gallery")
    if "database" in request.fixturenames and request.getfixturevalue("database") == "postgres":
        from retrieval.making import make_in_server
        from tests.retrieval.catalog.servers import new_catalog

        make_in_server(made, new_catalog())
    return made


@pytest.fixture
def indexed(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> Gallery:
    """The gallery with ``photos`` indexed by ``encoder``."""
    Indexer(gallery, encoder).run(photos)
    return gallery


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves the same there, and each fsync costs nothing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def preload() -> Path | None:
    """A library that the processes of ``commands`` load before all others."""
    return None


@pytest.fixture(scope="module")
def commands(place: Path, preload: Path | None) -> Iterator[Commands]:
    """Runs commands in processes that may be killed."""
    from tests.crashes import Commands

    made = Commands(place / "models", preload)
    yield made
    made.close()


@pytest.fixture(scope="session")
def indexed_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the example photos, made by the built-in model. Read it, do not change it."""
    from retrieval.encoders.registry import load_encoder

    place = tmp_path_factory.mktemp("examples") / "gallery"
    Indexer(Gallery(place), load_encoder("builtin-224")).run(EXAMPLES)
    return place
