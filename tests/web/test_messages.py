"""What the page says: the same messages in every language, and no text beside them."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from retrieval.filters.conditions import CONDITIONS
from retrieval.web import languages as module
from retrieval.web.front import sign_in
from retrieval.web.languages import COOKIE, language_of, languages, messages
from retrieval.web.page_files import page_files, pages
from tests.web.page_texts import keys_of, literals

PAGE = Path(module.__file__).with_name("page")
SCRIPTS = sorted(PAGE.glob("*.js"))
FORMS = {  # plural categories of CLDR for whole numbers; "many" of French and Spanish (millions) reads as "other" does
    "en": {"one", "other"}, "de": {"one", "other"}, "fr": {"one", "other"}, "es": {"one", "other"}, "zh": {"other"},
}  # fmt: skip

KEYS_OF_EVENTS = {
    "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Escape", "Enter", "Home", "End", "PageUp", "PageDown", "Tab",
    "Delete", "Backspace", "Shift", "Ctrl", "Control", "Alt", "Meta", "Space",
}  # fmt: skip
NO_TEXTS = KEYS_OF_EVENTS | {
    "AbortError", "Problem", "Accept", "Content-Type", "Retry-After", "Infinity", "Shift + click",
    "ArrowLeft ArrowUp ArrowDown ArrowRight", "ArrowLeft ArrowRight", "Ctrl + a", "Ctrl + z", "If-Match", "X-Photoseek",
    "Shift + ArrowLeft ArrowRight", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "ISO", "UTC", "Files",
    "there is no message ",
}  # fmt: skip
"""What stands between quotes and is no text: names of keys, headers, methods, formats, and what programmers read."""

_SENTENCE = re.compile(r"(?:^|\s)(?:the|a|an|of|and|or|to|is|are|was|not|no|with|for|by|in|from|more|your)\s", re.I)
_WORDS = re.compile(r"^[A-Z][a-z]+(?:[ ,.:…?!].*)?$", re.S)


@pytest.fixture(params=languages())
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def placeholders(message: str | dict[str, str]) -> set[str]:
    texts = [message] if isinstance(message, str) else list(message.values())
    return {name for text in texts for name in re.findall(r"\{(\w+)\}", text)}


def test_there_are_these_languages() -> None:
    assert set(languages()) == set(FORMS)
    assert languages()[0] == "en"


def test_every_language_says_the_same(language: str) -> None:
    english, other = messages("en"), messages(language)
    assert set(other) == set(english)
    for key, message in english.items():
        assert isinstance(other[key], dict) == isinstance(message, dict), key
        assert placeholders(other[key]) - {"n"} == placeholders(message) - {"n"}, key
        assert placeholders(other[key]) <= placeholders(message) | {"n"}, key


def test_plurals_are_those_of_the_language(language: str) -> None:
    for key, message in messages(language).items():
        if isinstance(message, dict):
            assert set(message) == FORMS[language], key


def test_no_message_is_empty_or_has_spaces_at_its_ends(language: str) -> None:
    for key, message in messages(language).items():
        for text in [message] if isinstance(message, str) else message.values():
            assert text and text == text.strip(), key


def test_conditions_have_names_in_every_language(language: str) -> None:
    if language == "en":
        return  # they are in the table of conditions
    missing = [each.name for each in CONDITIONS if f'"condition.{each.name}"' not in _source(language)]
    assert missing == []


def test_files_of_messages_are_sorted(language: str) -> None:
    keys = re.findall(r'^  "([\w.]+)":', _source(language), re.M)
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))


def _source(language: str) -> str:
    return (PAGE / "messages" / f"{language}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_has_texts_of_its_own(path: Path) -> None:
    found = [
        text
        for text in literals(path.read_text(encoding="utf-8"))
        if text.strip() not in {each.strip() for each in NO_TEXTS}
        and (_WORDS.match(text.strip()) or _SENTENCE.search(text))
    ]
    assert found == [], "people read these: they belong into messages/*.json, asked for with t(key) of words.js"


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        ('h("p", null, "Copy paths")', ["p", "Copy paths"]),
        ('`${count(n)} of ${total ? `the ${x}` : "none"} left`', ["", " of ", "the ", "", "none", " left"]),
        ("// \"no\"\ntext.replace(/[\"`]/g, 'a \\' b') /* `x` */", ["a \\' b"]),
    ],
)
def test_texts_are_found_wherever_they_stand(script: str, texts: list[str]) -> None:
    assert list(literals(script)) == texts


def test_the_page_itself_has_no_texts() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    read = re.findall(r">([^<]+)<", page) + re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', page)
    texts = {text.strip() for text in read if re.search(r"[A-Za-z]", text)}
    assert {text for text in texts if not re.fullmatch(r"\{\{[\w.]+\}\}( \(\?\))?", text)} == {"photoseek"}


def test_every_message_is_asked_for_and_every_question_has_one() -> None:
    asked = set(re.findall(r"\{\{([\w.]+)\}\}", (PAGE / "index.html").read_text(encoding="utf-8")))
    for path in SCRIPTS:
        asked |= keys_of(path.read_text(encoding="utf-8"))
    asked |= set(re.findall(r"sign_in\.\w+", Path(sign_in.__file__).read_text(encoding="utf-8")))
    known = set(messages("en"))
    unused = [key for key in known if not key.startswith("condition.") and not any(fnmatch(key, one) for one in asked)]
    assert unused == []
    sections = {key.partition(".")[0] for key in known if "." in key}
    literal = {key for key in asked if "." in key and key.partition(".")[0] in sections and "*" not in key}
    files = set(page_files())
    assert {key for key in literal if not key.endswith(".") and key not in files} <= known
    patterns = {key for key in asked if key.endswith("*") and "." in key}
    assert {key for key in patterns if not any(fnmatch(one, key) for one in known)} == set()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "en"),
        ({"accept-language": "de-CH, en;q=0.5"}, "de"),
        ({"accept-language": "it, fr;q=0.3, es;q=0.9"}, "es"),
        ({"accept-language": "zh-Hans-CN"}, "zh"),
        ({"accept-language": "deu, den"}, "en"),
        ({"accept-language": "de;q=0, *"}, "en"),
        ({"accept-language": "de;q=much, es"}, "es"),
        ({"accept-language": "de", "cookie": f"other=1; {COOKIE}=fr"}, "fr"),
        ({"accept-language": "de", "cookie": f"{COOKIE}=../../etc"}, "de"),
        ({"accept-language": "de", "cookie": '"; =;;="'}, "de"),
    ],
)
def test_the_language_is_the_browsers_until_one_is_chosen(headers: dict[str, str], expected: str) -> None:
    assert language_of(Headers(headers)) == expected


def test_the_page_comes_in_the_language(client: TestClient, language: str) -> None:
    answer = client.get("/", headers={"Accept-Language": language})
    assert f'<html lang="{language}">' in answer.text
    assert f"/static/messages/{language}.js" in answer.text
    assert str(messages(language)["search.describe"]) in answer.text
    assert "{{" not in answer.text
    assert answer.headers["vary"] == "Accept-Encoding, Accept-Language, Cookie"
    assert len({page.tag for page in pages().values()}) == len(languages())


def test_a_title_is_text() -> None:
    assert b"<title>A &lt;b&gt; &amp; c</title>" in pages("A <b> & c")["en"].content
