from __future__ import annotations

import sys
from pathlib import Path

import pytest

from retrieval.encoders.files.description import TextTower, TokenizerSpec
from retrieval.encoders.files.merges import MergeTable, write_clip_merges
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.tokenizer import ClipTokenizer, LibraryTokenizer, clean_text, load_tokenizer
from retrieval.errors import RuntimeUnavailable, WeightsUnavailable

START, END = 16384, 16385


def builtin(context: int = 32, **settings: object) -> ClipTokenizer:
    spec = TokenizerSpec("clip-bpe", "merges.bin", start=START, end=END, **settings)  # type: ignore[arg-type]
    text = TextTower("t", "clip-weights", spec, context, heads=1)
    return ClipTokenizer(BUILTIN_FOLDER / "merges.bin", text)


# Written down from the tokenizers library running the tokenizer.json that the built-in model was trained with.
TRAINED_WITH = {
    "a dog": [320, 1929],
    "A photo of the Eiffel-tower's 2 lights": [
        320,
        1125,
        539,
        518,
        4006,
        1138,
        331,
        268,
        4730,
        568,
        273,
        3073,
    ],
    "don't  stop_me 1999!": [847, 713, 1691, 318, 614, 272, 280, 280, 280, 256],
    "supercalifragilistic café": [1642, 2857, 13093, 2076, 1561, 15304],
    "": [],
}


@pytest.mark.parametrize("text", TRAINED_WITH)
def test_ids_of_the_built_in_model(text: str) -> None:
    assert builtin().encode(text) == [START, *TRAINED_WITH[text], END]


def test_case_and_space_do_not_matter_punctuation_does() -> None:
    encode = builtin().encode
    assert encode("A\tDog \n") == encode("a dog")
    assert encode("a dog.") != encode("a dog")


def test_entities_quotes_and_accents_are_repaired() -> None:
    encode = builtin().encode
    assert encode("salt &amp;amp; pepper") == encode("salt & pepper")
    assert encode("‘tom’s’") == encode("'tom's'")
    assert encode("cafe\u0301") == encode("café")
    assert encode("Ã©t\u00c3\u00a9") == encode("été")


def test_special_words_are_one_token() -> None:
    assert builtin().encode("a <start_of_text> b")[2] == START
    assert builtin().encode("<END_OF_TEXT>") == [START, END, END]


def test_a_long_text_is_cut_before_its_end_token() -> None:
    tokenizer = builtin(6)
    assert tokenizer.encode("a dog a dog") == [START, 320, 1929, 320, 1929, END]
    assert not tokenizer.is_cut("a dog a dog")
    assert tokenizer.encode("a dog a dog a") == [START, 320, 1929, 320, 1929, END]
    assert tokenizer.is_cut("a dog a dog a")
    assert tokenizer.is_cut("dog " * 100_000)


def test_rows_are_padded_only_if_the_model_wants_it() -> None:
    assert builtin().encode("a dog") == [START, 320, 1929, END]
    assert builtin(8, pad_to=8, pad_id=7).encode("a dog") == [START, 320, 1929, END, 7, 7, 7, 7]
    assert len(builtin(8, pad_to=8).encode("a dog " * 9)) == 8


def test_undecodable_command_line_bytes_do_not_stop_a_query() -> None:
    text = b"caf\xe9 dog".decode("utf-8", "surrogateescape")
    assert builtin().encode(text)[-2] == 1929


@pytest.mark.parametrize(
    ("clean", "expected"),
    [
        ("none", " A_b &amp; C. "),
        ("whitespace", "A_b & C."),
        ("lower", "a_b & c."),
        ("canonicalize", "a b c"),
    ],
)
def test_cleaning(clean: str, expected: str) -> None:
    assert clean_text(" A_b &amp; C. ", clean) == expected  # type: ignore[arg-type]


def test_plain_ascii_needs_no_ftfy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert builtin().encode("a dog's <b>tail</b>, 100 %")[1] == 320
    with pytest.raises(RuntimeUnavailable, match="ftfy"):
        builtin().encode("café")


def test_merge_table_round_trip(tmp_path: Path) -> None:
    write_clip_merges([("d", "o"), ("do", "g</w>"), ("a", "b")], tmp_path / "m.bin")
    table = MergeTable(tmp_path / "m.bin")
    assert len(table) == 3
    letters = {letter: ord(letter) - ord("!") for letter in "abdgo"}
    assert table.rank(letters["d"], letters["o"]) == 0
    assert table.rank(512, letters["g"] + 256) == 1
    assert table.rank(letters["a"], letters["b"]) == 2
    assert table.rank(letters["a"], letters["b"] + 256) == -1
    assert table.rank(letters["b"], letters["a"]) == -1
    assert table.rank(1 << 20, 0) == -1


@pytest.mark.parametrize("merges", [[("do", "g")], [("a", "b"), ("a", "b")], [("a", "bc"), ("b", "c")]])
def test_merges_out_of_order_are_refused(tmp_path: Path, merges: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="merge"):
        write_clip_merges(merges, tmp_path / "m.bin")
    assert not (tmp_path / "m.bin").exists()


def test_damaged_merge_tables(tmp_path: Path) -> None:
    whole = (BUILTIN_FOLDER / "merges.bin").read_bytes()
    for content in (b"", b"PSMERGE1", b"X" + whole[1:], whole[:-1], whole[:8] + b"\xff" * 8 + whole[16:]):
        (tmp_path / "m.bin").write_bytes(content)
        with pytest.raises(WeightsUnavailable):
            MergeTable(tmp_path / "m.bin")
    with pytest.raises(WeightsUnavailable):
        MergeTable(tmp_path / "none.bin")


def library_tokenizer(tmp_path: Path, **settings: object) -> LibraryTokenizer:
    """A word-level tokenizer.json in SigLIP's manner: an end token after the text, none before."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {"</s>": 1, "<pad>": 0, "<unk>": 2, "a": 3, "dog": 4, "red": 5}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.save(str(tmp_path / "tokenizer.json"))
    spec = TokenizerSpec("tokenizers", "tokenizer.json", clean="canonicalize", **settings)  # type: ignore[arg-type]
    loaded = load_tokenizer(tmp_path / "tokenizer.json", TextTower("t.onnx", "onnx", spec, 6))
    assert isinstance(loaded, LibraryTokenizer)
    return loaded


def test_library_tokenizer_pads_and_cuts(tmp_path: Path) -> None:
    tokenizer = library_tokenizer(tmp_path, pad_to=6)
    assert tokenizer.encode("A red_dog!") == [3, 5, 4, 1, 0, 0]
    assert tokenizer.encode("") == [1, 0, 0, 0, 0, 0]
    assert tokenizer.encode("dog " * 9) == [4, 4, 4, 4, 4, 1]
    assert tokenizer.is_cut("dog " * 6)
    assert not tokenizer.is_cut("dog " * 5)


def test_library_tokenizer_without_padding_and_with_a_stripped_token(tmp_path: Path) -> None:
    assert library_tokenizer(tmp_path).encode("a dog") == [3, 4, 1]
    assert library_tokenizer(tmp_path, strip_id=1).encode("a dog") == [3, 4, 0]


def test_damaged_tokenizer_json(tmp_path: Path) -> None:
    tokenizer = library_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(WeightsUnavailable, match="damaged"):
        tokenizer.encode("a")


def test_library_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = library_tokenizer(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(RuntimeUnavailable, match="tokenizers"):
        tokenizer.encode("a")
