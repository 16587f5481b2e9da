"""A resident process without a page: one engine, the socket server, and an exit after a time without requests."""

from __future__ import annotations

import asyncio
import signal
import time

from retrieval.gallery import Gallery
from retrieval.interrupts import ENDING
from retrieval.server.door import LOOK_S, Run, SocketDoor
from retrieval.server.engine_thread import EngineLimits, EngineThread


def reside(gallery: Gallery, run: Run, idle_s: float) -> int:
    """Answer the command line's searches of a gallery; returns their number.

    Ends after ``idle_s`` seconds without a request, when it is told to stop (also by a signal), when the gallery
    no longer exists, and when the program's files were replaced.

    Raises:
        SettingsError: another process answers them, or this system has no such sockets.
        GalleryNotFound: nothing is indexed yet.
    """
    return asyncio.run(_reside(gallery, run, idle_s))


async def _reside(gallery: Gallery, run: Run, idle_s: float) -> int:
    engine_thread = EngineThread(gallery, EngineLimits())
    door = SocketDoor(gallery, run, engine_thread, idle_s=idle_s)
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, door.stopping.set)
    try:
        async with door.opened() as is_there:
            while (left := door.last + idle_s - time.monotonic()) > 0 and is_there():
                if await door.stopped_within(max(0.01, min(left, LOOK_S))):
                    break
    finally:
        engine_thread.close()
    return door.served
