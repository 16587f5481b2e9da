"""Our token ids compared with those of ``open_clip.tokenizer.SimpleTokenizer``."""

from __future__ import annotations

import gzip
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from retrieval.encoders.files.description import TextTower, TokenizerSpec
from retrieval.encoders.onnx.tokenizer import ClipTokenizer, write_clip_merges

pytestmark = pytest.mark.torch
open_clip = pytest.importorskip("open_clip")

HARD = [
    "",
    " ",
    "‘curly’ “quotes” don’t",
    "salt &amp; pepper &lt;b&gt; &amp;amp; &#39; &nbsp;x",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "<start_of_text> a <end_of_text> b <START_OF_TEXT><end_of_text>",
    "😀👍🏽👩‍👩‍👧 emoji",
    "日本語の写真 한국어 中文一二三",
    "हिन्दी العربية עברית ไทย",
    "snake_case __init__ _ __",
    "12345 ½ ² ⅷ ٣ ①",
    "I'll you're we've he'd I'm it's can't 'S 'LL '\u017f",
    "a\x00b\x07c\x0bd\x0ce\x1bf\x1b[31mg\x7fh\x85i\u2028j",
    "tab\there\nnewline\r\nend",
    "!'s ...'re --- '''",
    "ﬁne ﬂow Kelvin \u212a İstanbul ǅ ß ẞ",
    "Ã©tÃ© â€œmojibakeâ€\x9d",
    "\ufeffbom \u200bzero\u200dwidth \xa0 nbsp \u3000 wide",
    "https://example.org/a?b=c&d=e#f",
    "x" * 200,
    "é" * 100,
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "a " * 200,
]


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    published = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(published.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    path = tmp_path_factory.mktemp("clip") / "merges.bin"
    write_clip_merges([(left, right) for left, right in (line.split() for line in lines)], path)
    return path


def both(merges: Path, clean: str) -> tuple[Any, ClipTokenizer]:
    spec = TokenizerSpec("clip-bpe", "merges.bin", start=49406, end=49407, clean=clean, pad_to=77)  # type: ignore[arg-type]
    text = TextTower("t", "clip-weights", spec, 77, heads=1)
    return open_clip.tokenizer.SimpleTokenizer(clean=clean), ClipTokenizer(merges, text)


def differing(texts: list[str], merges: Path, clean: str) -> list[str]:
    theirs, ours = both(merges, clean)
    return [text for text, row in zip(texts, theirs(texts).tolist(), strict=True) if ours.encode(text) != row]


def test_ordinary_texts(merges: Path) -> None:
    names = open_clip.IMAGENET_CLASSNAMES
    texts = list(names) + [template(name) for name in names for template in open_clip.OPENAI_IMAGENET_TEMPLATES[:2]]
    assert len(texts) == 3000
    assert differing(texts, merges, "lower") == []


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_hard_texts(merges: Path, clean: str) -> None:
    assert differing(HARD, merges, clean) == []


def test_random_texts(merges: Path) -> None:
    """Without unassigned code points: which of them are letters depends on the Unicode version of each library."""
    rng = random.Random(5)
    wide = [chr(rng.randrange(0x30000)) for _ in range(4000)]
    wide = [c for c in wide if unicodedata.category(c) not in ("Cs", "Cn")]
    ascii_only = [chr(c) for c in range(128)]
    fragments = [
        "'s",
        "'RE",
        "&amp;",
        "<start_of_text>",
        "_",
        "12",
        "é",
        "e\u0301",
        " ",
        "\n",
        "’ll",
        "\x1b[0m",
        "日本",
    ]
    texts = ["".join(rng.choices(pool, k=rng.randrange(1, 25))) for pool in (wide, ascii_only, fragments) * 400]
    assert differing(texts, merges, "lower") == []


def test_is_cut_says_what_open_clip_drops(merges: Path) -> None:
    theirs, ours = both(merges, "lower")
    for text in ["a dog " * 37 + "a", "a dog " * 37 + "a b", *HARD]:
        assert ours.is_cut(text) == (len(theirs.encode(text)) > 75)
