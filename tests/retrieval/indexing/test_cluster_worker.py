"""The parts of a cluster without the cluster: who has which files, and a worker in this process."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.batch import FailedImage, IndexedImage
from retrieval.catalog.records import unpack_vectors
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.registry import load_encoder
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.cluster import worker as worker_module
from retrieval.indexing.cluster.assignment import LOST, Assignment
from retrieval.indexing.cluster.head import in_short
from retrieval.indexing.cluster.model import agree, files_to_send, loaded, probed
from retrieval.indexing.cluster.said import Hello, Line, Refusal, Task, own_version
from retrieval.indexing.cluster.worker import Worker
from retrieval.indexing.outcomes import Outcome, failed
from retrieval.pictures import memory
from retrieval.pictures.formats import lacks_decoder, no_decoder
from tests.conftest import EXAMPLES
from tests.pictures import save_picture
from tests.test_cli import Run, run

__all__ = ["run"]


@pytest.fixture(autouse=True)
def _memory_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes a part of the machine's memory only: the tests' own process keeps all of it."""
    monkeypatch.setattr(memory, "shared", memory.shared)


def files(*names: str) -> list[Candidate]:
    return [Candidate(1, "/photos", name, 1, 1) for name in names]


def names(given: Sequence[Candidate | Outcome]) -> list[str]:
    return [each.name for each in given]


def test_files_of_a_lost_worker_go_to_others_once() -> None:
    assignment = Assignment()
    for worker in (1, 2):
        assignment.join(worker, 4)
    assignment.put(files("a", "b", "c"))
    assignment.put(files("d"))
    assignment.put(files("e"))
    assert names(assignment.next_for(1)) == ["a", "b", "c"]
    assert names(assignment.next_for(2)) == ["d"]
    a, b, c = (failed(each, "seen") for each in files("a", "b", "c"))
    assert names(assignment.accepted(1, [b])) == ["b"]
    assert assignment.leave(1, is_lost=True) == []
    assert names(assignment.next_for(2)) == ["a", "c"]
    assert names(assignment.accepted(2, [a, b])) == ["a"]
    assert assignment.accepted(1, [c]) == []  # too late: it is another's
    assert names(assignment.accepted(2, [c])) == ["c"]
    assert names(assignment.next_for(2)) == ["e"]
    assert assignment.window == 4


def test_a_full_worker_gets_nothing_more() -> None:
    assignment = Assignment()
    assignment.join(1, 2)
    for name in "abc":
        assignment.put(files(name))
    assert [names(assignment.next_for(1)) for _ in range(3)] == [["a"], ["b"], []]


def test_a_file_that_ends_workers_is_tried_alone_and_given_up() -> None:
    assignment = Assignment()
    assignment.put(files("good", "bad"))
    for worker in (1, 2):
        assignment.join(worker, 8)
        assert names(assignment.next_for(worker)) == ["good", "bad"]
        assert assignment.leave(worker, is_lost=True) == []
    assignment.join(3, 8)
    assert names(assignment.next_for(3)) == ["good"]
    assert assignment.next_for(3) == []
    assignment.accepted(3, [failed(files("good")[0], "seen")])
    assert names(assignment.next_for(3)) == ["bad"]
    (given_up,) = assignment.leave(3, is_lost=True)
    assert (given_up.name, given_up.reason, given_up.is_transient) == ("bad", LOST, True)


def test_a_worker_with_notice_blames_no_file() -> None:
    assignment = Assignment()
    assignment.put(files("a"))
    for worker in range(5):
        assignment.join(worker, 8)
        assert names(assignment.next_for(worker)) == ["a"]
        assert assignment.leave(worker, is_lost=False) == []


def test_a_line_that_ends_says_nothing() -> None:
    sent = io.BytesIO()
    Line(io.BytesIO(), sent).send({"a": 1})
    whole = sent.getvalue()
    line = Line(io.BytesIO(whole + whole[:-1]), io.BytesIO())
    assert line.receive() == {"a": 1}
    assert line.receive() is None


@pytest.fixture(scope="module")
def builtin() -> OnnxEncoder:
    encoder = load_encoder("builtin-224", precision="fp32", threads=1)
    assert isinstance(encoder, OnnxEncoder)
    return encoder


@pytest.fixture
def task(builtin: OnnxEncoder) -> Task:
    spec = builtin.spec
    return Task(own_version(), spec.name, spec.fingerprint, spec.source, "cpu", "fp32", 1, 10)


def candidate(path: Path) -> Candidate:
    found = path.stat()
    return Candidate(1, str(path.parent), path.name, found.st_size, found.st_mtime_ns)


def outcomes(worker: Worker, count: int) -> list[Outcome]:
    """So many outcomes; nothing is known of any bytes."""
    found: list[Outcome] = []
    end = time.monotonic() + 300
    while len(found) < count and time.monotonic() < end:
        taken = worker.take(1.0)
        assert taken.error is None
        worker.answer(dict.fromkeys(taken.questions))
        found += [outcome for results in taken.results for outcome in results.outcomes]
    return found


def test_a_worker_embeds_as_this_machine(
    task: Task, builtin: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module.socket, "gethostname", lambda: "other.example")
    worker = Worker()
    hello = worker.begin(task)
    assert isinstance(hello, Hello) and hello.precision == "fp32" and hello.batch_size == builtin.batch_size
    assert agree(hello.probe, probed(builtin))
    assert not agree(hello.probe, np.roll(hello.probe, 1, axis=0))
    owl = EXAMPLES / "birds" / "owl.jpg"
    gone = Candidate(1, str(tmp_path), "gone.jpg", 1, 1)
    worker.feed([candidate(owl), gone])
    first, second = outcomes(worker, 2)
    assert isinstance(first, IndexedImage) and isinstance(second, FailedImage)
    assert second.reason == "no such file or directory (on other.example)" and second.is_transient
    assert unpack_vectors([first.vector], builtin.spec.dim).shape == (1, builtin.spec.dim)
    worker.stop()
    while not worker.take(1.0).is_over:
        pass


def test_what_a_machine_lacks_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    reason = no_decoder("RAW").reason
    assert lacks_decoder(reason)
    found = worker._with_host(failed(files("a.cr2")[0], reason))
    assert isinstance(found, FailedImage) and found.is_transient and found.reason.startswith(f"{reason} (on ")
    bad = failed(files("b.jpg")[0], "truncated")
    assert worker._with_host(bad) is bad


def test_a_worker_refuses_another_version_and_another_model(task: Task) -> None:
    found = Worker().begin(replace(task, version="0.0.1"))
    assert isinstance(found, Refusal) and "not 0.0.1" in found.message
    found = Worker().begin(replace(task, fingerprint="0" * 64))
    assert isinstance(found, Refusal) and found.lacks_model


def test_a_worker_without_the_model_is_sent_it(
    task: Task, builtin: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = {name: file.read_bytes() for name, file in files_to_send(builtin).items()}
    encoder = loaded(task, model)
    assert encoder.spec.fingerprint == builtin.spec.fingerprint
    assert agree(probed(encoder), probed(builtin))

    name = next(name for name in model if name.endswith(".onnx"))
    other = dict(model)
    other[name] = model[name][:-1] + bytes([model[name][-1] ^ 1])
    found = Worker().begin(task, other)
    assert isinstance(found, Refusal) and "differs from the recorded hash" in found.message
    found = Worker().begin(task, {"../../outside": b"", **model})
    assert isinstance(found, Refusal) and not (tmp_path.parent / "outside").exists()
    found = Worker().begin(replace(task, fingerprint="0" * 64), model)
    assert isinstance(found, Refusal) and "another model" in found.message


def test_pictures_of_one_worker_wait_for_answers(task: Task, tmp_path: Path) -> None:
    """What is known elsewhere is not encoded."""
    worker = Worker()
    assert isinstance(worker.begin(task), Hello)
    path = save_picture(tmp_path / "red.jpg", "red")
    worker.feed([candidate(path)])
    (first,) = outcomes(worker, 1)
    assert isinstance(first, IndexedImage)
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(1, 1))
    worker.feed([candidate(copy)])
    while not (taken := worker.take(1.0)).questions:
        assert not taken.results
    assert taken.questions == [first.content_hash]
    worker.answer({first.content_hash: (first.vector, first.metadata, ())})
    second = next(each for results in worker.take(60.0).results for each in results.outcomes)
    assert isinstance(second, IndexedImage) and second.is_reused and second.vector == first.vector
    worker.stop()


def test_executors_and_their_conditions(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["index", str(EXAMPLES / "birds"), "--gallery", str(tmp_path / "gallery")]
    code, _, err = run(*asked, "--executor", "spark")
    assert code == 2 and "no executor 'spark'" in err and "local, ray" in err
    code, _, err = run(*asked, "--executor", "ray", "--gpu-decode")
    assert code == 2 and "of this machine" in err
    monkeypatch.setattr("retrieval.indexing.cluster.on_ray.find_spec", lambda _: None)
    code, _, err = run(*asked, "--executor", "ray")
    assert code == 3 and "pip install 'photoseek[ray]'" in err and len(err.splitlines()) == 2
    assert not (tmp_path / "gallery").exists()


def test_a_traceback_is_told_by_its_cause() -> None:
    error = RuntimeError("The actor died\n  Traceback ...\nModuleNotFoundError: No module named 'retrieval'\n")
    assert in_short(error) == "ModuleNotFoundError: No module named 'retrieval'"
    assert in_short(RuntimeError("no room\nfor it")) == "no room"
    assert in_short(RuntimeError()) == "RuntimeError"
