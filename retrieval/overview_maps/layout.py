"""2D layout of embeddings."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.errors import RetrievalError, SettingsError
from retrieval.streams import plural

Method = Literal["pca", "umap"]
Places = NDArray[np.float32]
"""(n, 2), within -1 to 1."""

_LEAST_FOR_UMAP = 16  # its 15 neighbours plus one
_NEIGHBOURS = 15


class UmapUnavailable(RetrievalError):
    """UMAP was requested but is not installed."""

    exit_code = 2


def choose_method(choice: str, pictures: int) -> Method:
    """``auto`` is UMAP if it is installed and there are enough pictures for its neighbourhoods, else PCA.

    Raises:
        SettingsError: an invalid choice.
        UmapUnavailable: ``umap`` was chosen, but is not installed.
    """
    if choice not in ("auto", *get_args(Method)):
        raise SettingsError(f"there is no layout method {choice!r}", "use auto, pca or umap")
    has_umap = find_spec("umap") is not None
    if choice == "umap" and not has_umap:
        raise UmapUnavailable("umap-learn is not installed", "pip install 'photoseek[map]', or use --method pca")
    if choice == "umap" and pictures < _LEAST_FOR_UMAP:
        raise SettingsError(f"{plural(pictures, 'picture is', 'pictures are')} too few for UMAP", "use --method pca")
    return "umap" if choice == "umap" or (choice == "auto" and has_umap and pictures >= _LEAST_FOR_UMAP) else "pca"


def lay_out(vectors: Vectors, method: Method, *, seed: int = 0) -> Places:
    """(n, dim) unit vectors -> (n, 2) positions, deterministic for given vectors."""
    return _within(pca(vectors) if method == "pca" else _umap(vectors, seed))


def pca(vectors: Vectors) -> NDArray[np.float64]:
    """(n, dim) -> (n, 2): the two directions of largest variance (Pearson 1901; Hotelling 1933).

    Signs are fixed: the component of largest magnitude of each direction is positive.
    """
    rows = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(rows.T @ rows)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    places: NDArray[np.float64] = rows @ axes
    return places


def _umap(vectors: Vectors, seed: int) -> NDArray[np.float64]:
    """Uniform manifold approximation and projection (McInnes, Healy and Melville, arXiv:1802.03426) by cosine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from numba and scikit-learn, about each other
        from umap import UMAP

        # One thread, because otherwise the result would depend on more than the seed.
        reducer = UMAP(n_neighbors=_NEIGHBOURS, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(reducer.fit_transform(vectors), dtype=np.float64)


def _within(places: NDArray[np.float64]) -> Places:
    """Moved and scaled equally on both axes, to fill -1 to 1."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = float((high - low).max()) / 2
    within: Places = ((places - (low + high) / 2) / (half if half > 0 else 1.0)).astype(np.float32)
    return within
