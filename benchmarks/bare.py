"""The stages of a text search without a server, in a process with one thread; serving adds to these costs.

``python -m benchmarks.bare GALLERY QUERIES`` prints one line of JSON: seconds per query, by stage.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.load import HITS, VOCABULARY
from benchmarks.settings import ROOT

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine

T = TypeVar("T")

STAGES = ("text tower", "index", "records and files", "all of it")


def bare_seconds(gallery: Path, queries: int) -> dict[str, list[float]]:
    """Stage -> seconds per query, measured in a separate process."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.bare", str(gallery), str(queries)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def _main(gallery: str, queries: int) -> None:
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

    spent: dict[str, list[float]] = {stage: [] for stage in STAGES}

    def timed(stage: str, do: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = do()
        spent[stage].append(time.perf_counter() - started)
        return done

    texts = random.Random(0).choices(VOCABULARY, k=queries + 5)
    with QueryEngine(Gallery(gallery), remember_texts=False) as engine:
        for number, text in enumerate(texts):
            if number == 5:  # the previous ones were for warming up
                for values in spent.values():
                    values.clear()
            direction = timed("text tower", partial(engine.encoder.encode_texts, [text]))
            found = timed("index", partial(engine.index.search, direction, HITS))
            timed("records and files", partial(_look, engine, found.ids[0].tolist()))
            spent["all of it"].append(sum(spent[stage][-1] for stage in STAGES[:-1]))
    print(json.dumps(spent))


def _look(engine: QueryEngine, ids: list[int]) -> None:
    for image in engine.reader.records(ids):
        image.on_disk()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
