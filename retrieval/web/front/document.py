"""The OpenAPI document: FastAPI's description of the routes, with our errors and the token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from retrieval.web.front.problems import CONTENT, SCHEMA


def documented(app: FastAPI, *, asks_for_token: bool) -> Callable[[], dict[str, Any]]:
    """In place of ``app.openapi``: made when it is first asked for, and kept."""
    made = app.openapi
    kept: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not kept:
            kept.update(made())
            parts = kept.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = SCHEMA
            for path in kept["paths"].values():
                for operation in path.values():
                    _complete(operation)
            if asks_for_token:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                kept["security"] = [{"token": []}]
        return kept

    return document


def _complete(operation: dict[str, Any]) -> None:
    """Every error of an operation is a problem, also where its route only says what it means."""
    for status, response in operation["responses"].items():
        if status.isdecimal() and int(status) >= 400:
            response.setdefault("content", CONTENT)
