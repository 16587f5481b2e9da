from __future__ import annotations

import numpy as np
import pytest

from indexes import ranking
from indexes.ranking import Block, exact_scores, nothing_found, ranked
from tests.indexes.vectors import brute_force, clustered


def test_ranked_on_a_case_checked_by_eye() -> None:
    ids = np.array([[5, 3, -1, 9, 4]])
    scores = np.array([[0.5, 0.5, 0.9, 0.7, np.nan]], dtype=np.float32)
    found = ranked(ids, scores, 4)
    assert found.ids.tolist() == [[9, 3, 5, -1]]
    assert found.scores[0].tolist() == pytest.approx([0.7, 0.5, 0.5, -np.inf])


@pytest.mark.parametrize("seed", range(5))
def test_rounding_of_the_rough_product_does_not_decide_the_order(seed: int) -> None:
    """BLAS may round equal rows apart; here it errs by up to 2e-6, and 20 copies tie across the cut."""
    rng = np.random.default_rng(seed)
    vectors, query = clustered(300, seed=seed), clustered(1, seed=seed + 50)
    vectors[rng.permutation(300)[:20]] = vectors[np.argmax(vectors @ query[0])]
    ids = rng.permutation(300)
    rough = (vectors @ query[0] + rng.uniform(-2e-6, 2e-6, size=300)).astype(np.float32)
    best = nothing_found(1, 10)
    ranking._offer(best, 0, query, Block(ids, vectors), rough, 10)
    expected = brute_force(ids, vectors, query[0], 10)
    assert best.ids[0].tolist() == [image_id for image_id, _ in expected]


def test_equal_vectors_score_equally_wherever_they_lie() -> None:
    query = clustered(3, seed=1)
    vectors = np.broadcast_to(clustered(1, seed=2)[0], (3, 1001, query.shape[1]))
    for rows in (slice(0, 1), slice(3, 10), slice(0, 1001)):
        scores = exact_scores(query, vectors[:, rows])
        assert (scores == exact_scores(query, vectors[:, :1])).all()
