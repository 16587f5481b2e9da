"""The tiny models of the encoders' tests."""

from __future__ import annotations

from tests.retrieval.encoders.conftest import tiny_models

__all__ = ["tiny_models"]
