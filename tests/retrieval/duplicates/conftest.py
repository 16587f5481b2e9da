"""The collection, indexed."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from tests.retrieval.duplicates.collection import index, make_collection


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "pictures")


@pytest.fixture
def doubled(gallery: Gallery, pictures: Path) -> Gallery:
    """A gallery that holds the collection."""
    return index(gallery, pictures)
