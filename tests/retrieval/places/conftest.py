"""One gazetteer for all tests of places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from retrieval.places.locating import can_name_places

if TYPE_CHECKING:
    from retrieval.places.gazetteer import Gazetteer


@pytest.fixture(scope="session")
def gazetteer() -> Iterator[Gazetteer]:
    """On a machine that speaks English."""
    if not can_name_places():
        pytest.skip("needs photoseek[places]")
    from retrieval.places.gazetteer import Gazetteer

    with pytest.MonkeyPatch.context() as patch:
        for name in ("LANGUAGE", "LC_ALL", "LC_CTYPE", "LANG"):
            patch.delenv(name, raising=False)
        patch.setenv("LC_MESSAGES", "en_GB.UTF-8")
        made = Gazetteer()
    with closing(made):
        yield made
