"""Tiny models, a local stand-in for the hub that serves one of them, and private caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.encoders.names import hub as hub_module
from tests.retrieval.encoders.published_export import REPOSITORY, publish
from tests.retrieval.encoders.standin_hub import Hub, serve
from tests.retrieval.encoders.tiny_clip import KINDS, write_model


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``local-dir:`` folders by kind; shared, so tests copy before they change one."""
    root = tmp_path_factory.mktemp("tiny")
    return {kind: write_model(root / kind, kind) for kind in KINDS}


@pytest.fixture
def own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache folders, of the hub and of photoseek; the one of the hub is returned."""
    for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(key, raising=False)
    home = tmp_path_factory.mktemp("hf")
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return home


@pytest.fixture(scope="session")
def published(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in Immich's layout; shared, so tests copy before they change it."""
    return publish(tiny_models["siglip"], "siglip", tmp_path_factory.mktemp("published") / "siglip")


@pytest.fixture
def hub(published: Path, own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running hub with that export, and HF_ENDPOINT pointing at it."""
    for key in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(key, "127.0.0.1")
    monkeypatch.setattr(hub_module, "RETRY_WAIT_S", 0.0)
    with serve(Hub({REPOSITORY: published})) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
