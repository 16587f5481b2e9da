"""The vocabulary of the built-in model's recipe: WordNet, concepts and their relations."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from retrieval.lab.training.builtin.concepts import Vocabulary
from retrieval.lab.training.builtin.data import column_of
from retrieval.lab.training.builtin.wordnet import WordNet

pytestmark = pytest.mark.torch


def test_wordnet_gives_words_definitions_and_ancestors_that_can_be_seen(wordnet: WordNet) -> None:
    cat = wordnet.find("a big cat")
    assert cat is not None and (cat.words, cat.definition) == (("cat",), "a furry animal")
    assert wordnet.find("dogs") is wordnet.find("dog")
    assert wordnet.find("unheard") is None
    assert wordnet.ancestors("n00000008") == ("n00000007", "n00000006")  # not "being", "whole" and above


def test_a_leopard_is_the_animal_and_not_its_skin(wordnet: WordNet) -> None:
    found = wordnet.find("leopard")
    assert found is not None and found.wnid == "n00000011"


def test_what_a_class_is_and_what_it_may_be(wordnet: WordNet) -> None:
    vocabulary = Vocabulary(wordnet)
    tabby, dog, cat = (column_of(vocabulary, name) for name in ("n00000008", "dog", "cat"))
    made_up = column_of(vocabulary, "fluffy cat")
    is_a, may_be = vocabulary.relations()
    assert is_a[tabby, cat] and not is_a[cat, tabby] and not is_a[tabby, dog]
    assert may_be[cat, tabby] and may_be[cat, made_up] and not may_be[tabby, cat]
    assert is_a[made_up, cat]
    assert {c.names[0] for c in vocabulary.concepts if c.is_class} == {"tabby", "dog", "cat", "fluffy cat"}
