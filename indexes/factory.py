"""Create the index that implements a specification, importing only the backend it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

from indexes.base import VectorIndex
from indexes.errors import BackendUnavailable
from indexes.kinds import other_kinds
from indexes.spec import IndexSpec


class StoredIndex(VectorIndex, Protocol):
    """What snapshots need of a backend beside the public contract."""

    def __init__(self, spec: IndexSpec, dim: int) -> None: ...

    @property
    def needs_rebuild(self) -> bool: ...

    def write_parts(self, target: Callable[[str], Path]) -> None:
        """Write each part to ``target(name)``, names being one word and a suffix, such as "ids.npy"."""
        ...

    @classmethod
    def part_names(cls, spec: IndexSpec) -> tuple[str, ...]:
        """The names of the parts that an index of this specification has."""
        ...

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> Self:
        """Open what :meth:`write_parts` wrote. Raises ValueError or OSError where it is not sound."""
        ...

    @classmethod
    def structure_in_bulk(cls, spec: IndexSpec) -> bool:
        """Whether damage beyond the start of a file could do more than change scores."""
        ...


_FAISS = ("flat", "ivf", "hnsw")


def index_class_for(spec: IndexSpec) -> type[StoredIndex]:
    """The class behind ``spec``.

    Raises:
        BackendUnavailable: its library cannot be imported; the hint names the extra to install.
    """
    if spec.family == "exact":
        from indexes.exact import ExactIndex

        return ExactIndex
    if spec.family not in _FAISS:
        for kind in other_kinds(spec.family):
            return kind.index_class(spec)
        raise BackendUnavailable(
            f"no installed package has the kind of index '{spec}'", "install its package, or use another kind"
        )
    try:
        from indexes.faiss_index import FaissIndex

        if spec.gpu:
            from indexes.gpu import GpuIndex

            return GpuIndex
    except ImportError as error:
        raise BackendUnavailable(
            f"an index of kind '{spec}' needs faiss, which cannot be imported ({error})",
            "pip install 'photoseek[cpu]' (on a CUDA machine 'photoseek[gpu]'), or use the kind 'Exact'",
        ) from error
    return FaissIndex


def create_index(spec: IndexSpec, dim: int) -> StoredIndex:
    """A new, empty index for vectors of ``dim`` numbers; ``spec.needs_training`` says what comes next.

    Raises:
        SpecError: ``spec`` cannot hold vectors of this width.
        BackendUnavailable: see :func:`index_class_for`; or there is no GPU for a kind that is made for one. (What was
            saved of such a kind opens without one.)
    """
    spec.check_dim(dim)
    if spec.gpu:
        index_class_for(spec)  # says what to install where there is no faiss at all
        from indexes.gpu import require_device

        require_device(spec)
    return index_class_for(spec)(spec, dim)
