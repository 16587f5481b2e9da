from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import DuplicateId
from indexes.rows import RowIds

ids_of = st.lists(st.integers(0, 60), max_size=25, unique=True)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "compact", "reopen"]), ids_of), max_size=12))
def test_rows_follow_a_plain_list_through_any_history(steps: list[tuple[str, list[int]]]) -> None:
    rows, plain = RowIds(), []  # plain[row] is the id there, or -1
    for step, ids in steps:
        array = np.array(ids, dtype=np.int64)
        if step == "remove":
            expected = sorted(plain.index(image_id) for image_id in ids if image_id in plain)
            assert sorted(rows.remove(array).tolist()) == expected
            plain = [-1 if image_id in ids else image_id for image_id in plain]
        elif step == "compact":
            rows.compact()
            plain = [image_id for image_id in plain if image_id >= 0]
        elif step == "reopen":
            frozen = rows.ids.copy()
            frozen.flags.writeable = False
            rows = RowIds(frozen)
        elif set(ids) & set(plain):
            with pytest.raises(DuplicateId):
                rows.check_new(array, len(array))
        else:
            rows.append(rows.check_new(array, len(array)))
            plain += ids
        live = [image_id for image_id in plain if image_id >= 0]
        assert rows.ids.tolist() == plain
        assert (rows.total, rows.live, rows.dead) == (len(plain), len(live), len(plain) - len(live))
        assert rows.live_mask.tolist() == [image_id >= 0 for image_id in plain]
        assert rows.ids[rows.live_rows].tolist() == sorted(live)
        assert [image_id in rows for image_id in range(61)] == [image_id in live for image_id in range(61)]
        wanted = np.arange(-1, 62, 2)
        assert sorted(rows.rows_of(wanted).tolist()) == sorted(
            plain.index(image_id) for image_id in wanted.tolist() if image_id in live
        )


@pytest.mark.parametrize("ids", [[3, 3], [1, 2, 1], [0, -2], [5, -1, 5]])
def test_impossible_stored_ids_are_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="negative or not unique"):
        RowIds(np.array(ids))


def test_many_ids_are_looked_up_as_few_are() -> None:
    """Gapless ids, ids with gaps and scattered ids are found in three ways, before and after each change."""
    generator = np.random.default_rng(0)
    rows = RowIds()
    plain: dict[int, int] = {}
    for step, ids in enumerate((np.arange(5, 105), np.arange(300, 500, 2), np.array([90_000]), np.arange(110, 120))):
        rows.append(rows.check_new(ids, len(ids)))
        plain |= {int(i): rows.total - len(ids) + at for at, i in enumerate(ids)}
        for gone in (np.empty(0, np.int64), generator.choice(ids, len(ids) // 3, replace=False)):
            rows.remove(gone)
            plain = {i: row for i, row in plain.items() if i not in set(gone.tolist())}
            for wanted in (np.arange(-3, 100_000), np.arange(0, 600, 7), np.array([4, 5, 104, 105, 90_000])):
                expected = sorted(plain[i] for i in wanted.tolist() if i in plain)
                assert sorted(rows.rows_of(wanted).tolist()) == expected, (step, wanted)
