import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nmt.training.resampling import IntegerMap

KEYS = st.integers(0, 2**62)


def integers(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.dictionaries(KEYS, st.integers(0, 2**40)), st.lists(KEYS))
def test_a_map_answers_like_a_dictionary(entries: dict[int, int], others: list[int]) -> None:
    table = IntegerMap(integers(list(entries)), integers(list(entries.values())))
    asked = [*entries, *others, *entries]
    assert table.get(integers(asked)).tolist() == [entries.get(key, -1) for key in asked]


def test_many_keys_side_by_side_are_all_found() -> None:
    keys = np.arange(50_000, dtype=np.int64)
    table = IntegerMap(keys[::2], keys[::2] + 1)
    assert (table.get(keys) == np.where(keys % 2 == 0, keys + 1, -1)).all()


def test_an_empty_map_holds_nothing() -> None:
    table = IntegerMap(integers([]), integers([]))
    assert table.get(integers([0, 5])).tolist() == [-1, -1]
    assert table.get(integers([])).tolist() == []
