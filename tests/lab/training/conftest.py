"""A made-up WordNet for the tests of the built-in model's recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from retrieval.lab.training.builtin.wordnet import WordNet

# A chain deep enough that its lower half is not "too general": entity > ... > animal > cat > tabby, dog beside cat.
_NOUNS = [
    ("00000001", "entity", "", "what is"),
    ("00000002", "thing", "00000001", "an entity"),
    ("00000003", "object", "00000002", "a thing"),
    ("00000004", "whole", "00000003", "an object"),
    ("00000005", "being", "00000004", "a living whole"),
    ("00000006", "animal", "00000005", "a being that moves"),
    ("00000007", "cat", "00000006", 'a furry animal; "the cat sat"'),
    ("00000008", "tabby", "00000007", "a striped cat"),
    ("00000009", "dog", "00000006", "an animal that barks"),
    ("00000010", "leopard", "00000005", "the skin of a leopard"),
    ("00000011", "leopard", "00000006", "a spotted animal"),
]


@pytest.fixture
def wordnet_folder(tmp_path: Path) -> Path:
    """A folder with WordNet's two files for a handful of nouns."""
    folder = tmp_path / "wordnet"
    folder.mkdir()

    def line(offset: str, word: str, parent: str, gloss: str) -> str:
        pointers = f"001 @ {parent} n 0000" if parent else "000"
        return f"{offset} 03 n 01 {word} 0 {pointers} | {gloss}"

    (folder / "data.noun").write_text("  1 licence\n" + "\n".join(line(*noun) for noun in _NOUNS) + "\n")
    senses: dict[str, list[str]] = {}
    for offset, word, *_ in _NOUNS:
        senses.setdefault(word, []).append(offset)
    index = [f"{w} n {len(o)} 1 @ {len(o)} 0 {' '.join(o)}" for w, o in sorted(senses.items())]
    (folder / "index.noun").write_text("  1 licence\n" + "\n".join(index) + "\n")
    return folder


@pytest.fixture
def wordnet(wordnet_folder: Path) -> WordNet:
    """Those nouns, read. Imported here: the recipe needs torch, which other tests of this folder do without."""
    from retrieval.lab.training.builtin.wordnet import WordNet

    return WordNet(wordnet_folder)
