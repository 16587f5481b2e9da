"""Ray itself, which only this file imports: connecting to a cluster, its resources, noticing that its head is lost."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from retrieval.indexing.cluster.said import Begin

CONNECT_SECONDS = 60.0

LOST_SECONDS = 15.0
"""A head that does not answer for so long is lost; Ray itself would end this process after a minute."""

_STORE_BYTES = 256 << 20
"""Ray's shared memory in a cluster for one run: results are small."""

_KEPT = "what was committed is kept"

_CAUSE = re.compile(r"[\w.]+(Error|Exception): ")

Fail = Callable[[str, str], Any]


def connected(begin: Begin, fail: Fail) -> Any:
    """The module ``ray``, connected.

    Args:
        fail: called with a message and a hint if there is no cluster, or later its head is lost; does not return.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster for this run alone, which somebody waits for
    address = begin.address or os.environ.get("RAY_ADDRESS") or "auto"
    if address not in ("auto", "local"):
        _check_answers(address, fail)
    done = threading.Event()
    threading.Thread(target=_limited, args=(done, address, fail), name="connecting", daemon=True).start()
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    alone: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        if address == "local":
            ray.init(address="local", **quiet, **alone)
        else:
            try:
                ray.init(address=address, **quiet)
            except ConnectionError:
                if begin.address is not None or address != "auto":
                    raise
                ray.init(address="local", **quiet, **alone)  # none runs here
    except Exception as error:
        fail(
            f"this machine cannot use the Ray cluster {address}: {in_short(error)}",
            "it has to be a machine of the cluster, with the same versions: ray start --address=HOST:PORT",
        )
    done.set()
    where = ray.get_runtime_context().gcs_address
    threading.Thread(target=_watch, args=(where, fail), name="watching", daemon=True).start()
    return ray


def _check_answers(address: str, fail: Fail) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        fail(f"{address!r} is not the address of a Ray cluster", "give HOST:PORT, as `ray start --head` prints it")
    try:
        socket.create_connection((host, int(port)), 5.0).close()
    except OSError as error:
        fail(f"no Ray cluster answers at {address}: {(error.strerror or str(error)).lower()}",
             "start it: ray start --head; or leave out --address to encode on this machine")  # fmt: skip


def _limited(done: threading.Event, address: str, fail: Fail) -> None:
    if not done.wait(CONNECT_SECONDS):
        fail(f"the Ray cluster {address} does not let this machine in: no answer for {CONNECT_SECONDS:.0f} seconds",
             "look at `ray status` there; both need the same version of Ray, and the same token")  # fmt: skip


def _watch(address: str, fail: Fail) -> None:
    """End this process in words when the head is lost."""
    host, _, port = address.rpartition(":")
    answered = time.monotonic()
    while True:
        with suppress(OSError):
            socket.create_connection((host.strip("[]"), int(port)), 3.0).close()
            answered = time.monotonic()
        if time.monotonic() - answered > LOST_SECONDS:
            fail(f"the head of the Ray cluster at {address} does not answer any more",
                 f"{_KEPT}: start the cluster again, then run the same command")  # fmt: skip
        time.sleep(1.0)


class Resources:
    """How many workers a cluster has room for.

    Attributes:
        workers: their number.
        threads: cores of each.
        of_each: the options with which one is asked for.
        there_are: in words, what the cluster has.
        are_enough: for one worker.
    """

    def __init__(self, ray: Any, begin: Begin) -> None:
        has = ray.cluster_resources()
        cpus, gpus = int(has.get("CPU", 0)), has.get("GPU", 0.0)
        on_gpus = int(gpus / begin.gpus) if begin.gpus else 0
        self.threads = begin.cpus or (max(1, cpus // on_gpus) if on_gpus else 1)
        self.workers = begin.workers or max(1, on_gpus if begin.gpus else cpus // self.threads)
        self.there_are = f"the cluster has {cpus} CPUs and {gpus:g} GPUs"
        self.are_enough = self.threads <= cpus and begin.gpus <= gpus
        self.of_each = {
            "num_cpus": self.threads,
            "num_gpus": begin.gpus,
            "max_restarts": 0,
            "max_concurrency": 16,
            "scheduling_strategy": "SPREAD",
        }


def leave(ray: Any) -> None:
    """End the workers, and a cluster that was started for this run."""
    with suppress(Exception):
        ray.shutdown()


def in_short(error: BaseException) -> str:
    """What an error says, in one line: the last one of a worker's traceback, the first one of others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if _CAUSE.match(line)]
    return (causes[-1] if causes else lines[0] if lines else type(error).__name__)[:300]
