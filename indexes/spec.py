"""The complete configuration of an index as one printable, validated string."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from indexes.errors import SpecError
from indexes.kinds import other_kinds, server_kinds

Family = str
"""In this process: "exact", "flat", "ivf" and "hnsw"; servers and other packages add more (``kinds.py``)."""
Codec = Literal["Flat", "SQfp16", "SQ8", "PQ"]
Gpu = Literal["", "flat", "cagra"]

_MAX_CELLS = 16_777_216
_LINKS = range(4, 257)
_DEGREES = range(16, 129)
_DEGREE = 64
_GRAMMAR = (
    "Exact, or [IVFn,|HNSWm,] Flat|SQfp16|SQ8|PQm|PQmx4fs [,Refine(SQfp16)|,Refine(Flat)], "
    "or with a GPU: GPU,Flat, GPU,SQfp16, CAGRAn, or a server: milvus+http://HOST:PORT, milvus:///FILE.db, pgvector"
)

_FAMILY = re.compile(r"(IVF|HNSW)(\d{1,9})", re.IGNORECASE)
_CODEC = re.compile(r"(Flat|SQfp16|SQ8)|PQ(\d{1,5})(x4fsr?)?", re.IGNORECASE)
_ON_GPU = re.compile(r"GPU,(Flat|SQfp16)|CAGRA(\d{1,3})?", re.IGNORECASE)
_REFINE = re.compile(r"Refine\((SQfp16|Flat)\)", re.IGNORECASE)
_SPELLING: dict[str, Codec] = {"flat": "Flat", "sqfp16": "SQfp16", "sq8": "SQ8"}


@dataclass(frozen=True)
class IndexSpec:
    """How vectors are stored and searched; made by :meth:`parse`, printed by ``str``.

    Args:
        family: "exact" is numpy; "flat" scans all codes, "ivf" some cells, "hnsw" a graph (all faiss). Any other name
            is that of another package's kind, whose specifications are a subclass.
        codec: How a vector is stored; ``Exact`` and ``Flat`` store float32.
        cells: Number of IVF cells (nlist).
        links: HNSW links per vector (M), or the degree of CAGRA's graph.
        subquantisers: Product quantiser parts; must divide the vector dimension.
        fast_scan: 4-bit codes laid out for SIMD registers ("x4fs").
        by_residual: IVF fast-scan codes relative to the cell centre ("x4fsr").
        refine: Codec of a second copy of the vectors, with which candidates are re-scored, or None.
        gpu: How candidates are found on a GPU: a full scan or CAGRA. The other fields then describe the index that is
            saved and searched on the CPU.
    """

    family: Family
    codec: Codec = "Flat"
    cells: int = 0
    links: int = 0
    subquantisers: int = 0
    fast_scan: bool = False
    by_residual: bool = False
    refine: Codec | None = None
    gpu: Gpu = ""

    @classmethod
    def parse(cls, text: str) -> IndexSpec:
        """Parse a specification such as ``"PQ256x4fs,Refine(SQfp16)"``; case does not matter.

        Raises:
            SpecError: an invalid specification; the hint names the nearest valid one.
        """
        plain = "".join(text.split())
        spec = _parse(plain) or _first(kind.parse(text) for kind in server_kinds())
        spec = spec or _first(kind.parse(plain) for kind in other_kinds())
        if spec is None:
            raise SpecError(
                f"'{text}' is not an index specification",
                f"did you mean {_nearest(text)}? accepted: {_GRAMMAR}",
            )
        return spec

    def __str__(self) -> str:
        if self.family == "exact":
            return "Exact"
        if self.gpu:
            return f"CAGRA{self.links}" if self.gpu == "cagra" else f"GPU,{self.codec}"
        text = self.base_text
        return f"{text},Refine({self.refine})" if self.refine else text

    @property
    def base_text(self) -> str:
        """The specification without its refinement, as faiss's ``index_factory`` spells it."""
        code: str = self.codec
        if self.codec == "PQ":
            fast = "x4fs" if self.fast_scan else ""
            code = f"PQ{self.subquantisers}{fast}{'r' if self.by_residual else ''}"
        if self.family == "ivf":
            return f"IVF{self.cells},{code}"
        if self.family == "hnsw":
            return f"HNSW{self.links}" + ("" if code == "Flat" else f",{code}")
        return code

    @property
    def is_exact(self) -> bool:
        """Whether a search compares the query with every vector at full float32 precision."""
        return self.family == "exact" or (self.family == "flat" and self.codec == "Flat")

    @property
    def knobs(self) -> tuple[str, ...]:
        """The fields of ``Effort`` that affect this kind of index."""
        if self.gpu == "cagra":
            return ("ef_search",)
        family = {"ivf": ("nprobe",), "hnsw": ("ef_search",)}.get(self.family, ())
        return (*family, "k_factor") if self.refine else family

    @property
    def needs_training(self) -> bool:
        return self.family == "ivf" or self.codec in ("PQ", "SQ8")

    @property
    def minimum_training(self) -> int:
        """The smallest sample that ``train`` accepts: one vector for each centroid to learn."""
        if not self.needs_training:
            return 0
        codebook = 0 if self.codec != "PQ" else 16 if self.fast_scan else 256
        return max(self.cells, codebook, 1)

    def training_size(self, n: int) -> int:
        """The number of training vectors to draw from ``n``.

        64 vectors per cell are within faiss's own limits of 39 to 256. A codebook of c centroids uses at most
        256 c vectors. SQ8 learns each dimension's range and clips values outside it, so it needs
        more vectors than its few parameters suggest.
        """
        if not self.needs_training:
            return 0
        wanted = 64 * self.cells
        if self.codec == "PQ":
            wanted = max(wanted, 256 * (16 if self.fast_scan else 256))
        elif self.codec == "SQ8":
            wanted = max(wanted, 50_000)
        return min(n, wanted)

    def bytes_per_vector(self, dim: int) -> int:
        """Memory for one more vector of dimension ``dim``, including its id and links, in bytes."""
        total = 8 + self._code_bytes(self.codec, dim)
        if self.family == "ivf":
            total += 8 if self.refine else 16  # the list's own id; without refinement also a direct map
        if self.gpu:
            total += self._code_bytes(self.codec, dim) + 4 * self.links  # on the device
        if self.family == "hnsw":
            total += 4 * 2 * self.links + 12  # links of level 0, then the vector's level and offset
        if self.refine:
            total += self._code_bytes(self.refine, dim)
        return total

    def _code_bytes(self, codec: Codec, dim: int) -> int:
        if codec == "PQ":
            return (self.subquantisers + 1) // 2 if self.fast_scan else self.subquantisers
        return dim * {"Flat": 4, "SQfp16": 2, "SQ8": 1}[codec]

    def check_dim(self, dim: int) -> None:
        """Raise SpecError unless vectors of dimension ``dim`` can be stored this way."""
        if dim < 1:
            raise SpecError(f"vectors cannot have {dim} numbers", "give the encoder's width")
        if self.codec == "PQ" and dim % self.subquantisers:
            divisors = [m for m in range(1, dim + 1) if dim % m == 0]
            best = min(divisors, key=lambda m: abs(m - self.subquantisers))
            raise SpecError(
                f"'{self}' cannot cut vectors of {dim} numbers into {self.subquantisers} equal parts",
                f"PQ{best} is the nearest that does",
            )

    @property
    def default_nprobe(self) -> int:
        """Cells visited if an Effort does not set it.

        Embeddings of texts are far from those of images: measured with 1264 and 4000 cells, text queries needed 32
        to 128 cells for recall@10 >= 0.95, image queries 4.
        """
        return min(self.cells, max(64, self.cells // 32))

    @property
    def default_ef_search(self) -> int:
        """HNSW candidates; at 100,000 vectors, 128 reached recall@10 0.999 for image queries, but 0.918 for text."""
        return 256

    @property
    def default_k_factor(self) -> int:
        """Candidates re-scored per hit; with 20, measured recall@10 of 4-bit codes of two numbers each is 0.998."""
        return 20

    def rescored(self, count: int, dim: int, total: int) -> int:
        """Candidates to re-score for ``count`` hits of dimension ``dim``, of an index that has ``total`` vectors.

        4-bit codes of four numbers each rank less exactly, the less the fewer numbers there are, and the more vectors
        there are, the more of them come before a true neighbour. Measured with queries like texts, so that the best 10
        are among the first candidates with recall 0.99: 1,850 of 300,000 x 256, 3,300 of 1,000,000 x 384, 16,000 of
        10,000,000 x 256; of 1,000,000 x 512 or x 768 1,000 are enough. There, the best 100 are among 5,000 (0.9985).
        """
        if self.fast_scan and dim > 2 * self.subquantisers:
            return round(1500 * math.pow(max(1.0, total / 200_000), 0.6)) + 35 * count
        return self.default_k_factor * count


def _first(parsed: Iterator[IndexSpec | None]) -> IndexSpec | None:
    return next(filter(None, parsed), None)


def _parse(text: str) -> IndexSpec | None:
    if text.lower() == "exact":
        return IndexSpec("exact")
    if match := _ON_GPU.fullmatch(text):
        return _parse_gpu(match)
    parts = text.split(",")
    refine: Codec | None = None
    if match := _REFINE.fullmatch(parts[-1]):
        refine = _SPELLING[match[1].lower()]
        parts.pop()
    family: Family = "flat"
    size = 0
    if parts and (match := _FAMILY.fullmatch(parts[0])):
        family, size = ("ivf", int(match[2])) if match[1].lower() == "ivf" else ("hnsw", int(match[2]))
        parts.pop(0)
    if family == "hnsw" and not parts:
        parts = ["Flat"]
    match = _CODEC.fullmatch(parts[0]) if len(parts) == 1 else None
    if match is None or not _family_allows(family, size, match, refine):
        return None
    layout = (match[3] or "").lower()
    return IndexSpec(
        family,
        codec="PQ" if match[2] else _SPELLING[match[1].lower()],
        cells=size if family == "ivf" else 0,
        links=size if family == "hnsw" else 0,
        subquantisers=int(match[2] or 0),
        fast_scan=bool(layout),
        by_residual=layout.endswith("r"),
        refine=refine,
    )


def _parse_gpu(match: re.Match[str]) -> IndexSpec | None:
    if match[1]:
        return IndexSpec("flat", _SPELLING[match[1].lower()], gpu="flat")
    degree = int(match[2] or _DEGREE)
    return IndexSpec("flat", "SQfp16", links=degree, gpu="cagra") if degree in _DEGREES else None


def _family_allows(family: Family, size: int, code: re.Match[str], refine: Codec | None) -> bool:
    if code[2] and int(code[2]) < 1:
        return False
    if family == "ivf":
        # faiss 1.15 crashes when it decodes IVF fast-scan codes read from a file; with refinement they are not decoded.
        return 1 <= size <= _MAX_CELLS and (refine is not None or not code[3])
    if family == "hnsw":
        return size in _LINKS and not code[2]
    return not (code[3] or "").lower().endswith("r")


def _nearest(text: str) -> str:
    """The valid specification most similar to ``text``, built with the numbers in it."""
    text = "".join(text.split())
    for ending in (",Flat", ",Refine(SQfp16)"):
        if whole := _parse(text + ending):
            return str(whole)
    cells = _number_after("IVF", text, 1, _MAX_CELLS, 4096)
    links = _number_after("HNSW", text, _LINKS[0], _LINKS[-1], 32)
    parts = _number_after("PQ", text, 1, 99_999, 64)
    codes = ["Flat", "SQfp16", "SQ8", f"PQ{parts}", f"PQ{parts}x4fs"]
    bases = [*codes, f"HNSW{links}", f"HNSW{links},SQfp16", f"HNSW{links},SQ8"]
    bases += [f"IVF{cells},{code}" for code in codes]
    texts = [
        "Exact",
        "GPU,Flat",
        "GPU,SQfp16",
        f"CAGRA{_DEGREE}",
        *bases,
        *(f"{base},Refine({code})" for base in bases for code in ("SQfp16", "Flat")),
    ]
    valid = {spelling.lower(): spelling for spelling in texts if _parse(spelling)}
    return valid[get_close_matches(text.lower(), valid, n=1, cutoff=0.0)[0]]


def _number_after(prefix: str, text: str, least: int, most: int, otherwise: int) -> int:
    found = re.search(rf"{prefix}(\d{{1,9}})", text, re.IGNORECASE)
    return int(found[1]) if found and least <= int(found[1]) <= most else otherwise
