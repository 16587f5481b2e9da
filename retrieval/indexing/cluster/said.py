"""What is said between a run, its child process that speaks to Ray, and the workers: plain values, pickled.

All three are the same program on machines of one owner: a Ray cluster runs whatever it is sent.
"""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from retrieval.indexing.known_bytes import Known
from retrieval.indexing.outcomes import Results


def own_version() -> str:
    """Of this photoseek; empty if it is run from a folder without being installed."""
    try:
        return version("photoseek")
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class Task:
    """What a worker needs to know of a run.

    Attributes:
        version: of the photoseek that runs.
        name, fingerprint, source: of the encoder.
        device: as for an encoder; None: not specified.
        precision: as for an encoder.
        threads: cores that the worker may use.
        frames_per_minute: maximum for videos.
    """

    version: str
    name: str
    fingerprint: str
    source: str
    device: str | None
    precision: str
    threads: int
    frames_per_minute: int


@dataclass(frozen=True)
class Begin:
    """The first thing said to the child process.

    Attributes:
        address: ``HOST:PORT`` of the cluster; ``local``: one of this machine alone, for this run; None: one that runs
            on this machine or that RAY_ADDRESS names, else as ``local``.
        workers: how many; None: as many as there is room for.
        cpus: of each; None: 1, or its share of the machine of its GPU.
        gpus: of each; 0: none.
        gallery, encoder_id: where embedded bytes are looked up.
        model: the files of the model by name, for workers that do not have it; empty: they must.
    """

    address: str | None
    workers: int | None
    cpus: int | None
    gpus: float
    task: Task
    gallery: str
    encoder_id: int
    model: dict[str, Path]


@dataclass(frozen=True)
class Hello:
    """A worker that is ready.

    Attributes:
        device, precision, batch_size: those of its encoder.
        window: files that it should have at the same time.
        probe: its embeddings of fixed pictures, (n, dim) float32.
    """

    host: str
    device: str
    precision: str
    batch_size: int
    window: int
    probe: Any


@dataclass(frozen=True)
class Refusal:
    """Why a worker cannot work, in two lines; ``lacks_model``: it would if it were sent the model."""

    message: str
    hint: str
    host: str = ""
    lacks_model: bool = False


@dataclass
class Taken:
    """What a worker has to say.

    Attributes:
        questions: hashes of files; it waits for what is known of these bytes.
        is_over: it does no more: it was stopped, got notice of its end, or failed.
        error: why it failed.
    """

    results: list[Results] = field(default_factory=list)
    questions: list[bytes] = field(default_factory=list)
    is_over: bool = False
    error: Refusal | None = None


Answers = dict[bytes, Known | None]


@dataclass(frozen=True)
class Begun:
    """The first worker is ready: chunks of ``batch_size`` files may be sent."""

    batch_size: int
    remark: str


@dataclass(frozen=True)
class Window:
    """So many files may be on their way, since workers have come or gone."""

    files: int


@dataclass(frozen=True)
class Remark:
    """What the user should know."""

    text: str


@dataclass(frozen=True)
class Failed:
    """The end: the run cannot go on."""

    message: str
    hint: str


@dataclass(frozen=True)
class Stop:
    """Finish what is being worked on, and begin nothing else."""


@dataclass(frozen=True)
class Over:
    """Everything was said."""


class Line:
    """Sends and receives values through two pipes; sending from many threads, receiving from one."""

    def __init__(self, inward: IO[bytes], outward: IO[bytes]) -> None:
        self._in, self._out = inward, outward
        self._lock = threading.Lock()

    def send(self, value: object) -> None:
        """Raises OSError if the other end is gone."""
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._out.write(len(data).to_bytes(8, "little"))
            self._out.write(data)
            self._out.flush()

    def receive(self) -> Any:
        """The next value; None if the other end is gone."""
        try:
            length = int.from_bytes(self._in.read(8), "little")
            data = self._in.read(length)
        except (OSError, ValueError):
            return None
        return pickle.loads(data) if length and len(data) == length else None
