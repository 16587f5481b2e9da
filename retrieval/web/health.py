"""Health, metrics and contents of the server: ``/healthz``, ``/readyz``, ``/metrics``, ``/stats``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from retrieval.catalog.reader import CatalogReader
from retrieval.overview import overview
from retrieval.paths import as_text
from retrieval.web import app_state
from retrieval.web.front.metrics import REGISTRY
from retrieval.web.front.problems import Problem, without_servers

router = APIRouter(tags=["server"])
unversioned = APIRouter()
"""Paths where monitoring programs expect them."""


@router.get("/healthz", summary="Is the server there?")
@unversioned.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answers even when every thread is busy, and needs no token."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can the server answer questions?")
@unversioned.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 if the catalog and the index can be reached, and the catalog has this version's form; otherwise 503 with the
    reason. Needs no token."""
    reason = await app_state.readiness(request).reason()
    if reason:
        return Problem(503, reason, "try again later", instance=request.url.path)
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    summary="Counts and latencies, for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text form."}
    },
)
@unversioned.get("/metrics")
async def metrics() -> Response:
    """Requests by route and status, and histograms of the stages of an answer."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


@router.get("/stats", summary="What the gallery holds")
async def stats(request: Request) -> dict[str, Any]:
    """What ``photoseek info --json`` prints: counts, models, index, sizes, the last run."""
    gallery = app_state.gallery(request)

    def read(reader: CatalogReader) -> dict[str, Any]:
        facts: dict[str, Any] = _tellable(overview(gallery, reader))
        return facts

    return await app_state.readers(request).run(read)


def _tellable(value: Any) -> Any:
    """Plain values with every path as text."""
    if isinstance(value, dict):
        told = {key: _tellable(each) for key, each in value.items()}
        return told | ({"error": without_servers(told["error"])} if isinstance(told.get("error"), str) else {})
    if isinstance(value, list):
        return [_tellable(each) for each in value]
    return as_text(value) if isinstance(value, str) else value
