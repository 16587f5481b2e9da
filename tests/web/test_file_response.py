"""The answer that is a file: parts, entity tags, names in headers, and that it is closed in the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval.web.pictures.file_response import OpenFileResponse, asked_part, disposition, is_known


def test_ranges_as_numbers() -> None:
    assert asked_part(None, 10) == (0, 10)
    assert asked_part("bytes=2-3", 10) == (2, 4)
    assert asked_part("bytes=-99", 10) == (0, 10)
    assert asked_part("bytes=10-", 10) is None


def test_entity_tags_are_compared_weakly() -> None:
    assert is_known('W/"a", "b"', '"a"') and is_known('"a"', 'W/"a"') and is_known(" * ", '"a"')
    assert not is_known(None, '"a"') and not is_known("", '"a"') and not is_known("a", '"a"')


def test_plain_names_need_no_second_form() -> None:
    assert disposition("inline", "a b (1).jpg") == 'inline; filename="a b (1).jpg"'
    assert disposition("attachment", "日.heic") == "attachment; filename=\"_.heic\"; filename*=UTF-8''%E6%97%A5.heic"


def sent_by(response: OpenFileResponse, send: Callable[[Any], Awaitable[None]], method: str = "GET") -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "method": method, "path": "/file", "headers": []}
    asyncio.run(response(scope, receive, send))


def test_a_file_is_closed_however_its_sending_ends(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(1_000_000))
    sizes: list[int] = []

    async def taken(message: Any) -> None:
        sizes.append(len(message.get("body", b"")))

    async def cut_short(message: Any) -> None:
        os.truncate(path, 500_000)

    async def left(message: Any) -> None:
        raise asyncio.CancelledError

    for send, error in ((taken, None), (cut_short, OSError), (left, asyncio.CancelledError)):
        path.write_bytes(bytes(1_000_000))
        file = path.open("rb")
        response = OpenFileResponse(file, 1_000_000, 0, tag='"a"', media_type="image/png", headers={})
        if error is None:
            sent_by(response, send)
        else:
            with pytest.raises(error):
                sent_by(response, send)
        assert file.closed
    assert sum(sizes) == 1_000_000
    assert max(sizes) < 300_000  # never the whole file in memory
