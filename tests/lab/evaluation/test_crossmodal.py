"""Both directions of the Karpathy protocol: by hand, and compared with other metric code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrieval.encoders.base import unit
from retrieval.errors import QueryError
from retrieval.lab.evaluation.crossmodal import KS, judge_captions
from tests.lab.evaluation.spaces import captioned


def test_four_captions_of_two_pictures_by_hand() -> None:
    """Rows are captions, the first two of picture 0. One caption of each picture likes the other one better."""
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.6]], dtype=np.float32)
    # Pictures on two axes, the rest of each text's length where no picture is.
    texts = np.zeros((4, 6), dtype=np.float32)
    texts[:, :2] = scores
    texts[np.arange(4), 2 + np.arange(4)] = np.sqrt(1 - (scores**2).sum(axis=1))
    to_image, to_text = judge_captions(np.eye(6, dtype=np.float32)[:2], texts, np.arange(4), np.array([0, 0, 1, 1]))
    assert to_image.metrics["hit_rate@1"].value == 0.5
    assert to_image.metrics["MRR"].value == 0.75
    assert to_image.metrics["median rank"].value == 1.5
    # Picture 0 finds its caption 0 first; picture 1 finds caption 1, which is of the other, first.
    assert to_text.metrics["hit_rate@1"].value == 0.5
    assert to_text.metrics["recall@1"].value == 0.25
    assert (to_image.queries, to_image.candidates, to_text.queries, to_text.candidates) == (4, 2, 2, 4)


def test_order_of_pictures_and_captions_does_not_matter() -> None:
    pictures, texts, caption, own = captioned(40, 5)
    order, mixed = np.random.default_rng(1).permutation(40), np.random.default_rng(2).permutation(200)
    before = judge_captions(pictures, texts, caption, own)
    after = judge_captions(pictures[order], texts[mixed], caption, np.argsort(order)[own[mixed]])
    for one, other in zip(before, after, strict=True):
        assert {k: v.value for k, v in one.metrics.items()} == pytest.approx(
            {k: v.value for k, v in other.metrics.items()}
        )


def test_one_point_for_everything_finds_nothing() -> None:
    same = np.repeat(unit(np.ones((1, 8))), 60, axis=0)
    to_image, to_text = judge_captions(same[:20], same, np.arange(60), np.repeat(np.arange(20), 3))
    assert to_image.metrics["median rank"].value == 20
    assert to_text.metrics["median rank"].value == 58, "behind the 57 captions of others"
    assert to_image.metrics["hit_rate@10"].value == to_text.metrics["hit_rate@10"].value == 0


def test_a_text_of_two_pictures_is_right_for_both() -> None:
    pictures = np.eye(4, dtype=np.float32)[:3]
    texts = unit(np.array([[1, 1, 0, 0], [0, 0, 1, 0]]))
    to_image, to_text = judge_captions(pictures, texts, np.array([0, 0, 1]), np.array([0, 1, 2]))
    assert to_text.metrics["hit_rate@1"].value == 1
    # As a query it is asked for each of them, and both stand equal: neither is before the other.
    assert to_image.metrics["hit_rate@1"].value == pytest.approx(1 / 3)
    assert to_image.metrics["hit_rate@5"].value == 1


def test_intervals_of_captions_are_over_pictures() -> None:
    """Each picture's captions are one text said five times: as sure as with one caption each, not surer."""
    pictures, texts, caption, own = captioned(30, 1, noise=1.5)
    alone, _ = judge_captions(pictures, texts, caption, own)
    many, _ = judge_captions(pictures, np.repeat(texts, 5, axis=0), np.arange(150), np.repeat(own, 5))
    for name, estimate in alone.metrics.items():
        assert many.metrics[name] == pytest.approx(estimate), name


def test_captions_have_to_pair_up() -> None:
    pictures, texts, caption, own = captioned(4, 2)
    with pytest.raises(QueryError):
        judge_captions(pictures, texts, caption[:-1], own)
    with pytest.raises(QueryError):
        judge_captions(pictures, texts, caption[:-2], own[:-2])


@pytest.mark.torch
@pytest.mark.parametrize("noise", [0.5, 2.0, 5.0])
def test_equal_to_clip_benchmark(noise: float) -> None:
    """Its ``zeroshot_retrieval.py``, stated again: recall by one-hot products, and "more than none" for R@k."""
    torch = pytest.importorskip("torch")

    def recall_at_k(scores: Any, positive_pairs: Any, k: int) -> Any:
        top = torch.topk(scores, k, dim=1)[1]
        one_hot = torch.nn.functional.one_hot(top, num_classes=scores.shape[1])
        found = (one_hot * positive_pairs.view(len(scores), 1, scores.shape[1])).sum(dim=(1, 2))
        return found / positive_pairs.sum(dim=1)

    pictures, texts, caption, own = captioned(60, 5, noise=noise)
    scores = torch.from_numpy(texts) @ torch.from_numpy(pictures).t()
    pairs = torch.zeros_like(scores, dtype=torch.bool)
    pairs[torch.arange(len(scores)), torch.from_numpy(own)] = True
    to_image, to_text = judge_captions(pictures, texts, caption, own, resamples=50)
    for k in KS:
        for found, theirs in (
            (to_image, recall_at_k(scores, pairs, k)),
            (to_text, recall_at_k(scores.T, pairs.T, k)),
        ):
            assert found.metrics[f"hit_rate@{k}"].value == pytest.approx((theirs > 0).float().mean().item(), abs=1e-6)
            assert found.metrics[f"recall@{k}"].value == pytest.approx(theirs.float().mean().item(), abs=1e-6)


@pytest.mark.torch
def test_equal_to_open_clip_with_one_caption_each() -> None:
    torch = pytest.importorskip("torch")
    training = pytest.importorskip("open_clip_train.train")
    pictures, texts, caption, own = captioned(81, 1, noise=1.5)  # odd: theirs takes the lower median
    theirs = training.get_clip_metrics(torch.from_numpy(pictures), torch.from_numpy(texts), 100.0)
    for ours, name in zip(
        judge_captions(pictures, texts, caption, own, resamples=50), ("text_to_image", "image_to_text"), strict=True
    ):
        assert ours.metrics["median rank"].value == theirs[f"{name}_median_rank"]
        for k in KS:
            assert ours.metrics[f"hit_rate@{k}"].value == pytest.approx(theirs[f"{name}_R@{k}"])
