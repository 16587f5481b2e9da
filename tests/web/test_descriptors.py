"""A server that has run out of descriptors says so: no picture is called gone or changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog import records
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.web.conftest import client_of


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it: from then on no picture can be opened. The limit itself would stop the test, too."""
    opened = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith(".png"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return opened(path, *arguments, **named)

    return lambda: monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("is_touched", [False, True], ids=["as it was", "with another time of change"])
def test_pictures_are_not_called_gone(refused: Callable[[], None], tmp_path: Path, is_touched: bool) -> None:
    picture = save_picture(tmp_path / "photos" / "red.png", "red")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, ColourEncoder()).run(tmp_path / "photos")
    if is_touched:
        picture.chmod(0o600)
    records._holds.cache_clear()
    with client_of(gallery) as client:
        refused()
        for what in ("file", "thumbnail"):
            answer = client.get(f"/api/v1/images/1/{what}")
            assert answer.status_code == 503 and "files are open" in answer.json()["title"], answer.text
            assert answer.headers["retry-after"]
