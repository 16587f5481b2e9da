from __future__ import annotations

import subprocess
import sys

import pytest

from indexes import IndexSpec, SpecError, create_index
from indexes.exact import ExactIndex
from indexes.factory import index_class_for

WITHOUT_FAISS = """
import sys
sys.modules["faiss"] = None  # import faiss now raises ImportError
import numpy as np
from indexes import BackendUnavailable, IndexSpec, create_index
index = create_index(IndexSpec.parse("Exact"), 4)
index.add(np.array([5]), np.eye(4, dtype=np.float32)[:1])
assert index.search(np.eye(4, dtype=np.float32)[:1], 1).ids.tolist() == [[5]]
try:
    create_index(IndexSpec.parse("SQfp16"), 4)
except BackendUnavailable as error:
    assert "faiss" in error.message and "photoseek[cpu]" in error.hint, error
else:
    raise SystemExit("an index was made out of nothing")
"""

EXACT_JOURNEY = """
import sys, tempfile
from pathlib import Path
import indexes
assert "numpy" not in sys.modules, "importing the package must cost nothing"
import numpy as np
from indexes import IndexSpec, create_index, load_snapshot, recommend_spec, save_snapshot
index = create_index(recommend_spec(3, 4).spec, 4)
index.add(np.arange(3), np.eye(4, dtype=np.float32)[:3])
with tempfile.TemporaryDirectory() as folder:
    save_snapshot(index, Path(folder), fingerprint="tower", change=1)
    again, _ = load_snapshot(Path(folder), fingerprint="tower", dim=4)
    again.search(np.eye(4, dtype=np.float32), 2, allowed=np.array([1]))
heavy = {"faiss", "torch", "sqlalchemy", "openvino", "pymilvus"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("program", [WITHOUT_FAISS, EXACT_JOURNEY], ids=["faiss missing", "faiss not needed"])
def test_in_a_fresh_process(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_classes_by_kind() -> None:
    assert index_class_for(IndexSpec.parse("Exact")) is ExactIndex
    assert index_class_for(IndexSpec.parse("Flat")).__name__ == "FaissIndex"


def test_a_width_that_does_not_fit_is_refused_before_anything_is_made() -> None:
    with pytest.raises(SpecError, match="equal parts"):
        create_index(IndexSpec.parse("PQ5"), 32)


def test_every_public_name_exists() -> None:
    import indexes

    for name in indexes.__all__:
        assert getattr(indexes, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = indexes.nothing
