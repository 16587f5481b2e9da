"""``photoseek train`` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.lab.experiments.drawn import draw_folders
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parents[3]


def command(tmp_path: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PHOTOSEEK_GALLERY": str(tmp_path / "gallery"),
        "PHOTOSEEK_MODELS": str(tmp_path / "models"),
        "OMP_NUM_THREADS": "1",
    }
    line = [sys.executable, "-W", "error", str(ROOT / "cli.py"), *map(str, arguments)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(tmp_path: Path, *arguments: str | Path) -> tuple[int, str, str]:
    process = command(tmp_path, *arguments)
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


def test_an_adapter_from_captions_to_search(tmp_path: Path, indexed_examples: Path) -> None:
    import shutil

    shutil.copytree(indexed_examples, tmp_path / "gallery")
    code, out, err = run(
        tmp_path, "train", EXAMPLES / "captions.tsv", "--adapter", "--out", tmp_path / "mine", "--json"
    )
    assert code == 0, err
    body = json.loads(out)
    assert body["about"]["embeddings from the gallery"] == 120
    assert {row["metric"] for row in body["gained"]} >= {"text to image R@1", "image to text R@10"}
    assert f"photoseek index --model {tmp_path / 'mine'}" in err
    code, _, err = run(tmp_path, "index", "--model", tmp_path / "mine")
    assert code == 0 and "120 (from stored embeddings, no picture read)" in err
    code, out, _ = run(tmp_path, "search", "a tiger", "-n", "3", "--json")
    assert code == 0 and len(out.splitlines()) == 3
    code, _, err = run(tmp_path, "train", EXAMPLES / "captions.tsv", "--adapter", "--out", tmp_path / "mine")
    assert code == 2 and len(err.splitlines()) == 2 and "holds a training already" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give captions, a folder"),
        (("x.tsv", "--adapter", "--full", "--out", "y"), "exclude each other"),
        (("missing.tsv", "--adapter", "--out", "y"), "cannot read"),
        (("--from-gallery", "--adapter", "--out", "y"), "no gallery"),
        ((EXAMPLES / "captions.tsv", "--adapter", "--out", "."), "other things in it"),
    ],
)
def test_wrong_use_is_said_in_two_lines(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(tmp_path, "train", *arguments)
    assert code in (2, 3) and not out
    assert message in err and len(err.splitlines()) == 2


@pytest.mark.torch
def test_ctrl_c_keeps_the_best_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pictures = draw_folders(tmp_path / "pictures", 2)
    given = ("train", pictures, "--from", "scratch-tiny", "--batch", "8", "--seed", "1", "--out", tmp_path / "mine")
    process = command(tmp_path, *given, "--epochs", "100000")
    assert process.stderr is not None
    # What is said before the first step, behind which an interrupt that came meanwhile is obeyed.
    assert any("pictures held out" in line for line in process.stderr) and process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 130, err
    assert "stopped early; the best weights so far are in" in err and "--resume" in err
    assert (tmp_path / "mine" / "encoder.json").is_file()
    code, _, err = run(tmp_path, *given, "--epochs", "1", "--resume")
    assert code == 0, err
