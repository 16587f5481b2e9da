"""Prometheus metrics of the server; one registry per process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from retrieval.server.job_queue import Meter

Stage = Literal["search", "records", "thumbnail", "decode"]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("photoseek_requests", "Requests that were answered.", ["route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "photoseek_request_seconds", "From the headers to the end of the answer.", ["route"], buckets=_SECONDS,
    registry=REGISTRY,
)  # fmt: skip
STAGE_SECONDS = Histogram(
    "photoseek_stage_seconds", "What the time of an answer went into.", ["stage"], buckets=_SECONDS, registry=REGISTRY
)
TEXTS = Counter(
    "photoseek_texts", "Texts of queries: asked for, and of these embedded anew.", ["how"], registry=REGISTRY
)
IN_PROGRESS = Gauge("photoseek_requests_in_progress", "Requests without their whole answer yet.", registry=REGISTRY)
WAITING = Gauge("photoseek_jobs_waiting", "Jobs that wait for a thread.", ["queue"], registry=REGISTRY)


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """Time the enclosed block; from any thread."""
    start = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - start)


class QueueMeter(Meter):
    """Reports the job queues and the engine thread in these metrics."""

    def waiting(self, queue: str, jobs: int) -> None:
        WAITING.labels(queue).set(jobs)

    def spent(self, stage: str, seconds: float) -> None:
        STAGE_SECONDS.labels(stage).observe(seconds)

    def texts(self, how: str, count: int) -> None:
        TEXTS.labels(how).inc(count)
