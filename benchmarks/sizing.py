"""What 10 million, 100 million and a billion pictures need: computed from what one picture costs.

::

    python -m benchmarks.sizing

``docs/scale.md`` holds its output; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from benchmarks.tables import Table

PICTURES = (10_000_000, 100_000_000, 1_000_000_000)


@dataclass(frozen=True)
class Costs:
    """What one picture costs.

    Attributes:
        dim: numbers of an embedding; the catalog keeps two bytes of each.
        sqlite, postgres: bytes in the catalog with its indexes, the embedding included. Measured here
            (``python -m benchmarks.moving``).
        commit_ms: for a new picture in PostgreSQL, by one writer. Measured here (docs/scale.md).
        move_ms: CPU of photoseek for a row set that ``migrate`` copies and compares. Measured here
            (``python -m benchmarks.moving``).
        hnsw, ivf_sq8, diskann: bytes of memory in the query nodes. HNSW: 4 bytes a number, and 2 x 16 links of 4
            bytes. IVF_SQ8: a byte a number, and the id. DISKANN: an eighth of 4 bytes a number; all of it is on NVMe.
        pgvector: bytes on disk, table and HNSW index. Measured here (``python -m benchmarks.engines``).
        core_s, gpu_s: photos of 12 megapixels a second that a core reads, decodes and encodes with ViT-B/32
            (docs/performance.md); the same for a GPU, which is an assumption, limited by decoding.
        node_gb, usable: memory of a query node, and the share of it that vectors may take; the rest is for loading,
            compaction and the system.
    """

    dim: int = 512
    sqlite: int = 1590
    postgres: int = 1920
    commit_ms: float = 0.33
    move_ms: float = 0.24
    hnsw: int = 512 * 4 + 2 * 16 * 4
    ivf_sq8: int = 512 + 8
    diskann: int = 512 * 4 // 8
    pgvector: int = 2_570
    core_s: int = 15
    gpu_s: int = 1000
    node_gb: int = 64
    usable: float = 0.7


def sizing(costs: Costs, pictures: tuple[int, ...] = PICTURES) -> Table:
    """A column for each number of pictures."""

    def size(each: float) -> list[str]:
        return [_bytes(each * count) for count in pictures]

    def nodes(each: float) -> list[str]:
        room = costs.node_gb * 1e9 * costs.usable
        return [f"{max(1, ceil(each * count / room)):,}" for count in pictures]

    def hours(per_second: float) -> list[str]:
        return [_hours(count / per_second) for count in pictures]

    stated = f"{costs.node_gb} GB, {costs.usable:.0%} of it used"
    rows = [
        ["the embeddings alone, float16", *size(2 * costs.dim)],
        ["catalog in SQLite", *size(costs.sqlite)],
        ["catalog in PostgreSQL", *size(costs.postgres)],
        ["pgvector, on disk beside it", *size(costs.pgvector)],
        ["Milvus HNSW: memory", *size(costs.hnsw)],
        [f"query nodes ({stated})", *nodes(costs.hnsw)],
        ["Milvus IVF_SQ8: memory", *size(costs.ivf_sq8)],
        ["query nodes", *nodes(costs.ivf_sq8)],
        ["Milvus DISKANN: memory", *size(costs.diskann)],
        ["on NVMe", *size(4 * costs.dim + 2 * 16 * 4)],
        ["query nodes", *nodes(costs.diskann)],
        ["originals read, at 3 MB each", *size(3e6)],
        *(
            [f"encoding on {count} CPU cores ({costs.core_s} a second each)", *hours(count * costs.core_s)]
            for count in (16, 256)
        ),
        *(
            [f"encoding on {count} GPUs ({costs.gpu_s:,} a second each)", *hours(count * costs.gpu_s)]
            for count in (2, 8, 64)
        ),
        ["rows written to PostgreSQL by one writer", *hours(1000 / costs.commit_ms)],
        ["photoseek migrate: its own CPU", *hours(1000 / costs.move_ms)],
    ]
    return Table("Sizes", ["for this many pictures", *(_millions(count) for count in pictures)], rows)


def _millions(count: int) -> str:
    return f"{count // 1_000_000:,} million"


def _bytes(count: float) -> str:
    return f"{count / 1e12:,.1f} TB" if count >= 1e12 else f"{count / 1e9:,.0f} GB"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:,.0f} days" if hours >= 72 else f"{hours:,.1f} h"


if __name__ == "__main__":
    print(sizing(Costs()).to_markdown().partition("\n\n")[2].rstrip())
