"""After an upgrade: a gallery built with an old built-in model works, reports what is impossible, and is renewed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("openvino")

from retrieval.encoders.names.known_models import BUILTIN, EARLIER_BUILTINS, is_builtin
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import EarlierBuiltin
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.server.client import state_of
from retrieval.server.control import stop
from tests.conftest import EXAMPLES
from tests.earlier import FIFTH, FOURTH, REMEMBERED, SIXTH, Earlier
from tests.server.conftest import ROOT, START
from tests.test_cli import Run, run  # noqa: F401


@pytest.fixture(params=[FOURTH, FIFTH, SIXTH], ids=["fourth", "fifth", "sixth"])
def earlier(request: pytest.FixtureRequest) -> Earlier:
    """A version whose model is not today's."""
    version: Earlier = request.param
    if load_encoder(BUILTIN).spec.fingerprint == version.fingerprint:
        pytest.skip("the model of that version is today's")
    return version


@pytest.fixture
def old(tmp_path: Path, earlier: Earlier) -> Path:
    """A gallery of that version."""
    gallery = earlier.unpack(tmp_path)[0]
    Gallery(gallery).bring_up_to_date()  # the catalog's own form is another matter than its model
    return gallery


def two_lines(err: str) -> tuple[str, str]:
    lines = err.splitlines()
    assert len(lines) == 2, err
    return lines[0], lines[1]


def check_said(earlier: Earlier, what: str, to_do: str) -> None:
    assert earlier.model in what and earlier.fingerprint[:12] in what and "earlier photoseek" in what
    assert "photoseek index" in to_do and BUILTIN in to_do and "similar" in to_do


def test_what_was_searched_before_and_look_alikes_go_on(run: Run, old: Path, earlier: Earlier) -> None:  # noqa: F811
    for text, best in REMEMBERED.items():
        code, out, err = run("search", text, "--paths", "-n", "2", gallery=old)
        assert (code, err) == (0, "") and tuple(Path(line).name for line in out.splitlines()) == best
    dog = old.parent / "photos" / "dog.jpg"
    code, out, err = run("similar", dog, "--paths", "-n", "1", gallery=old)
    assert (code, err) == (0, "") and Path(out.strip()).name == earlier.alike
    assert run("info", gallery=old)[0] == 0


@pytest.mark.parametrize("is_named", [False, True])
def test_new_words_are_refused_in_two_lines(run: Run, old: Path, earlier: Earlier, is_named: bool) -> None:  # noqa: F811
    more = ("--model", earlier.model) if is_named else ()
    code, out, err = run("search", "a cow", *more, gallery=old)
    assert (code, out) == (3, "")
    check_said(earlier, *two_lines(err))


def test_index_renews_it(run: Run, old: Path, earlier: Earlier, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    code, _, err = run("index", gallery=old)
    assert code == 0 and BUILTIN in err and "every picture is encoded again" in caplog.text
    caplog.clear()
    code, out, err = run("search", "a cow", "--paths", "-n", "5", gallery=old)
    assert (code, err) == (0, "") and len(out.splitlines()) == 5
    facts = json.loads(run("info", "--json", gallery=old)[1])
    used = {row["fingerprint"]: row["active"] for row in facts["encoders"]}
    assert used[load_encoder(BUILTIN).spec.fingerprint] and not used.get(earlier.fingerprint, False)
    code, _, err = run("index", gallery=old)
    assert code == 0 and not caplog.text, "once"
    assert run("models", "drop", earlier.fingerprint[:12], gallery=old)[0] == 0


def test_until_every_picture_was_seen_the_old_answers_stay(run: Run, old: Path, earlier: Earlier) -> None:  # noqa: F811
    more = old.parent / "more"
    more.mkdir()
    shutil.copy(EXAMPLES / "animals" / "koala.jpg", more)
    code, _, err = run("index", more, gallery=old)
    assert (
        code == 0 and f"searches continue with {earlier.model}" in err and f"photoseek index --model {BUILTIN}" in err
    )
    code, out, _ = run("search", "a dog", "--paths", "-n", "1", gallery=old)
    assert code == 0 and Path(out.strip()).name == "dog.jpg"
    assert run("index", gallery=old)[0] == 0
    code, out, err = run("search", "a koala", "--paths", gallery=old)
    assert (code, err) == (0, "") and len(out.splitlines()) == 6


def test_the_engine_says_what_it_is(old: Path, earlier: Earlier) -> None:
    with QueryEngine(Gallery(old)) as engine:
        assert engine.encoder_row.name == earlier.model and engine.encoder_row.fingerprint == earlier.fingerprint
        assert len(engine.embedded(list(REMEMBERED))) == 2
        with pytest.raises(EarlierBuiltin):
            engine.embedded(["a cow"])


def test_names_of_before_mean_the_model_of_today(earlier: Earlier) -> None:
    for name in ("builtin", BUILTIN, *EARLIER_BUILTINS, earlier.model.upper()):
        assert is_builtin(name) and load_encoder(name).spec.name == BUILTIN
    assert not is_builtin("ViT-B-32/openai")
    own = load_encoder(BUILTIN).spec.fingerprint
    assert load_encoder_by_fingerprint(own, earlier.model, "builtin").spec.fingerprint == own
    with pytest.raises(EarlierBuiltin, match="earlier photoseek"):
        load_encoder_by_fingerprint("0" * 64, earlier.model, "builtin")


def test_the_daemon_starts_and_answers_what_it_can(
    old: Path, earlier: Earlier, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime = tmp_path_factory.mktemp("run")
    places = {"XDG_RUNTIME_DIR": str(runtime), "PHOTOSEEK_MODELS": str(runtime), "PHOTOSEEK_GALLERY": str(old)}

    def photoseek(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = os.environ | {"PYTHONPATH": str(ROOT)} | places
        return subprocess.run(
            [*START, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=600, check=False
        )

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_RUNTIME_DIR", str(runtime))
        try:
            started = photoseek("daemon", "start", "--idle", "60")
            assert started.returncode == 0, started.stderr
            found = photoseek("search", "a dog", "--paths", "-n", "1")
            assert found.returncode == 0 and Path(found.stdout.strip()).name == "dog.jpg", found.stderr
            refused = photoseek("search", "a cow")
            assert refused.returncode == 3
            check_said(earlier, *two_lines(refused.stderr))
            assert (now := state_of(str(old))) is not None and now["served"] >= 1
        finally:
            stop(Gallery(old))


def test_the_shell_answers_what_it_can(old: Path, earlier: Earlier) -> None:
    done = subprocess.run(
        [*START, "shell"], input="a dog\na cow\na yellow lemon\n", cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PHOTOSEEK_GALLERY": str(old)}, timeout=600, check=False,
    )  # fmt: skip
    lines = done.stdout.split()[2::3]  # rank, score, path of each hit
    assert lines[0].endswith("dog.jpg") and lines[5].endswith("lemon.png") and len(lines) == 10
    check_said(earlier, *two_lines(done.stderr))


def test_the_web_page_answers_what_it_can(old: Path, earlier: Earlier) -> None:
    pytest.importorskip("fastapi")
    from tests.web.conftest import client_of

    with client_of(Gallery(old)) as client:
        for text, best in REMEMBERED.items():
            hits = client.get("/api/v1/search", params={"q": text}).json()["hits"]
            assert Path(hits[0]["path"]).name == best[0]
        hit = client.get("/api/v1/search", params={"q": "a dog"}).json()["hits"][0]
        alike = client.get(f"/api/v1/similar/{hit['id']}").json()["hits"]
        assert Path(alike[0]["path"]).name == earlier.alike
        refused = client.get("/api/v1/search", params={"q": "a cow"})
        assert refused.status_code >= 400
        check_said(earlier, refused.json()["title"], refused.json()["detail"])


def test_the_assistant_answers_what_it_can(old: Path, earlier: Earlier) -> None:
    pytest.importorskip("mcp")
    from tests.web.test_mcp import assistant_of

    with assistant_of(old) as assistant:
        assert Path(assistant.ask("search", query="a dog", k=1)["hits"][0]["path"]).name == "dog.jpg"
        check_said(earlier, *assistant.error("search", query="a cow"))
