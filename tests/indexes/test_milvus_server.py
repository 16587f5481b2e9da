"""Tests beside a real Milvus server, in a network of their own: it listens on every interface.

The tests of this folder that name ``milvus`` are run again by a process that has only a loopback interface.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.indexes.servers import IN_NAMESPACE, milvus_home

ROOT = Path(__file__).parent.parent.parent
ASKED = (
    "promised_form or finds_itself or padded or empty_index or equal_scores or refused_addition or removed_ids"
    " or replaced_vector or only_allowed or allowed_finds or store or crash"
)
"""Of the contract what depends on the server; making a collection takes it seconds."""


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_a_real_server_keeps_the_contract() -> None:
    if os.environ.get(IN_NAMESPACE):
        pytest.skip("this is the process that it starts")
    pytest.importorskip("pymilvus", reason="Milvus needs photoseek[milvus]")
    milvus_home()
    alone = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here: they need root and the programs unshare and ip")
    tests = [str(ROOT / "tests" / "indexes" / f"test_{name}.py") for name in ("contract", "stores")]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", f"milvus and not lite and ({ASKED})"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=os.environ | {IN_NAMESPACE: "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    last = done.stdout.splitlines()[-1:]
    if done.returncode == 5 or any("skipped" in line and "passed" not in line for line in last):
        pytest.skip(f"the server does not start here: {done.stdout[-500:]}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in last[0]
    assert "skipped" not in last[0], done.stdout[-2000:]
