"""What is imported by the torch-free part in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {
    "torch", "open_clip", "openvino", "faiss", "sqlalchemy", "tokenizers", "huggingface_hub", "transformers",
    "onnxruntime", "PIL", "ftfy", "regex", "safetensors", "timm",
}  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    program = f"{code}\nimport sys; sys.stdout.write(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PHOTOSEEK_MODELS": str(ROOT / "nothing-here")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        "registry",
        "names.known_models",
        "files.description",
        "onnx.text_tower",
        "onnx.tokenizer",
        "onnx.encoder",
        "base",
    ],
)
def test_imports_are_light(name: str) -> None:
    assert not modules_after(f"import retrieval.encoders.{name}") & HEAVY


def test_the_table_needs_no_numpy() -> None:
    assert "numpy" not in modules_after("import retrieval.encoders.names.known_models")


def test_a_text_query_wakes_no_engine() -> None:
    code = (
        "from retrieval.encoders.registry import load_encoder\n"
        "encoder = load_encoder('builtin-224')\n"
        "encoder.is_cut('a dog')\n"
        "assert encoder.encode_texts(['a dog']).shape == (1, 384)"
    )
    modules = modules_after(code)
    assert not modules & HEAVY
    assert "numpy" in modules


def test_listing_models_wakes_no_engine() -> None:
    code = (
        "from retrieval.encoders.installed import default_encoder_name, installed\n"
        "assert default_encoder_name() == 'builtin-224' and len(installed()) == 1"
    )
    assert not modules_after(code) & HEAVY


def test_an_image_wakes_openvino_only() -> None:
    pytest.importorskip("openvino")
    code = (
        "import numpy\n"
        "from retrieval.encoders.registry import load_encoder\n"
        "load_encoder('builtin-224').encode_images(numpy.zeros((1, 3, 224, 224), 'uint8'))"
    )
    assert modules_after(code) & HEAVY == {"openvino"}


def test_nothing_is_sent_and_nothing_is_forked(tmp_path: Path) -> None:
    """OpenVINO would: see ``retrieval/encoders/onnx/__init__.py``."""
    program = """
import sys, threading
told = []
leaving = ("os.fork", "os.posix_spawn", "subprocess", "os.system", "socket.connect", "socket.getaddrinfo")
def hook(event, arguments):
    if event.startswith(leaving):
        told.append(event)
sys.addaudithook(hook)
import numpy as np
from retrieval.encoders.registry import load_encoder
encoder = load_encoder("builtin-224")
encoder.encode_texts(["a dog"])
encoder.encode_images(np.zeros((2, 3, 224, 224), np.uint8))
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(0)
assert "openvino" in sys.modules and sys.modules["openvino_telemetry"] is None
print(told)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []
