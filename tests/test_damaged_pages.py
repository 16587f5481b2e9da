"""A catalog with damaged pages: every command works correctly or reports the problem in two lines.

``PHOTOSEEK_DAMAGES`` (24 by default) and ``PHOTOSEEK_DAMAGE_SEED`` make it longer.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EXAMPLES
from tests.crashes import Commands, Ended
from tests.page_damage import KINDS, damaged

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

DAMAGES = int(os.environ.get("PHOTOSEEK_DAMAGES", "24"))
SEED = int(os.environ.get("PHOTOSEEK_DAMAGE_SEED", "1"))
SCORE = 2e-3
"""How far a score may move where a picture was encoded again, in other company."""

Scores = dict[str, float]


@dataclass
class Sound:
    """The gallery before any damage, and what is found in it: path -> score, by the name of the question."""

    gallery: Path
    picture: str
    questions: dict[str, list[str]]
    answers: dict[str, Scores]


def _hits(ended: Ended) -> list[tuple[str, float]]:
    hits = [json.loads(line) for line in ended.printed.splitlines() if line.startswith("{")]
    return [(hit["path"], hit["score"]) for hit in hits]


@pytest.fixture(scope="module")
def sound(place: Path, commands: Commands) -> Sound:
    """With labels by people and by a model, and pictures that were gone for a while."""
    photos, gallery = place / "photos", place / "sound"
    for folder in ("animals", "birds", "food"):
        shutil.copytree(EXAMPLES / folder, photos / folder)
    for arguments in (
        ("index", str(photos)),
        ("label", str(photos / "birds"), "--tag", "bird", "--caption", "a bird"),
        ("tag", "--labels", "cat,dog"),
        ("forget", str(photos / "food")),
        ("index", str(photos / "food")),
    ):
        ended = commands.run(gallery, *arguments)
        assert ended.code == 0, ended.printed
    picture = str(photos / "birds" / "owl.jpg")
    questions = {
        "search": ["search", "a dog", "--json", "-n", "all"],
        "similar": ["similar", picture, "--json", "-n", "all"],
    }
    answers = {name: dict(_hits(commands.run(gallery, *question))) for name, question in questions.items()}
    answers["similar"][picture] = 1.0  # it is left out while the gallery knows it
    assert all(len(found) > 50 for found in answers.values())
    return Sound(gallery, picture, questions, answers)


def _check(ended: Ended, name: str, sound: Sound) -> None:
    ended.check_manners()
    assert ended.code in (0, 1, 3), ended.printed
    if ended.code == 3:
        first, second = ended.printed.splitlines()[-2:]
        assert first.startswith("photoseek: ") and second.startswith(" " * len("photoseek: ")), ended.printed
    elif name in sound.answers:
        hits, true = _hits(ended), sound.answers[name]
        assert len(dict(hits)) == len(hits), "a picture is listed twice"
        wrong = [hit for hit in hits if hit[0] not in true or abs(true[hit[0]] - hit[1]) > SCORE]
        assert not wrong, "a score that the picture does not have"


def test_no_damage_to_a_page_ends_in_a_fault_or_in_a_wrong_answer(
    sound: Sound, commands: Commands, place: Path
) -> None:
    rng, codes, wrong = np.random.default_rng(SEED), Counter[str](), list[str]()
    searching = [(name, sound.questions[name]) for name in ("search", "similar")]
    steps = [
        ("info", ["info", "--json"]), *searching, ("label", ["label", sound.picture]),
        ("label", ["label", sound.picture, "--tag", "x"]), ("index", ["index", "--quiet"]), *searching,
        ("info", ["info"]),
    ]  # fmt: skip
    for number in range(DAMAGES):
        gallery = place / "gallery"
        shutil.rmtree(gallery, ignore_errors=True)
        shutil.copytree(sound.gallery, gallery)
        what = damaged(gallery / "catalog.sqlite", KINDS[number % len(KINDS)], rng)
        done: list[str] = []
        for name, arguments in steps:
            ended = commands.run(gallery, *arguments)
            done.append(f"{name} {ended.code}")
            try:
                _check(ended, name, sound)
            except AssertionError as error:
                wrong.append(f"damage {number} of seed {SEED}: {what}; {', '.join(done)}: {error}")
        codes.update(done)
    print(f"{DAMAGES} damages: {sorted(codes.items())}")
    assert not wrong, "\n".join(wrong)
    assert codes["search 0"] and codes["search 3"] and codes["index 0"] and codes["index 3"]
