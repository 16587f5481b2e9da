"""Create the index that implements a specification, importing only the backend it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

from indexes.base import VectorIndex
from indexes.errors import BackendUnavailable
from indexes.kinds import other_kinds, server_kind
from indexes.spec import IndexSpec

if TYPE_CHECKING:
    from indexes.server import Server
    from indexes.server_spec import ServerSpec


class MutableIndex(VectorIndex, Protocol):
    """What a writer needs from a backend in addition to the public contract."""

    @property
    def needs_rebuild(self) -> bool: ...


class StoredIndex(MutableIndex, Protocol):
    """What snapshots in files need from a backend."""

    def __init__(self, spec: IndexSpec, dim: int) -> None: ...

    def write_parts(self, target: Callable[[str], Path]) -> None:
        """Write each part to ``target(name)``; a name is one word and a suffix, such as "ids.npy"."""
        ...

    @classmethod
    def part_names(cls, spec: IndexSpec) -> tuple[str, ...]:
        """The names of the parts of an index with this specification."""
        ...

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> Self:
        """Open the files written by :meth:`write_parts`. Raises ValueError or OSError if they are invalid."""
        ...

    @classmethod
    def structure_in_bulk(cls, spec: IndexSpec) -> bool:
        """Whether damage after the start of a file could do more than change scores."""
        ...

    @classmethod
    def stays_mapped(cls) -> bool:
        """Whether a mapped index takes changes without being copied to memory."""
        ...


_FAISS = ("flat", "ivf", "hnsw")


def index_class_for(spec: IndexSpec) -> type[StoredIndex]:
    """The class that implements ``spec``.

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


def connected(spec: ServerSpec) -> Server:
    """A connection to the server of ``spec``; raises as ``kinds.ServerKind.connect``."""
    kind = server_kind(spec.family)
    assert kind is not None, "each family of ServerSpec has a kind"
    return kind.connect(spec)


def create_index(spec: IndexSpec, dim: int) -> MutableIndex:
    """A new, empty index for vectors of dimension ``dim``; if ``spec.needs_training``, train it before adding.

    One in a server is made there when vectors are added, and dropped when it is closed without being saved.

    Raises:
        SpecError: ``spec`` cannot store vectors of this dimension.
        BackendUnavailable: see :func:`index_class_for`; or the kind needs a GPU and there is none. (A saved index of
            such a kind can be opened without a GPU.)
        IndexUnreachable: its server does not answer, or refuses access.
    """
    spec.check_dim(dim)
    if server_kind(spec.family) is not None:
        from indexes.server import ServerIndex

        in_server = cast("ServerSpec", spec)
        return ServerIndex(in_server, dim, connected(in_server))
    if spec.gpu:
        index_class_for(spec)  # raises with an install hint if faiss is missing altogether
        from indexes.gpu import require_device

        require_device(spec)
    return index_class_for(spec)(spec, dim)
