import numpy as np

from nmt.training.resampling import mix, row_keys, uniform


def keys(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_mixing_gives_the_numbers_of_splitmix64() -> None:
    # The first three numbers of SplitMix64 from the state 0, which grows by 0x9E3779B97F4A7C15 each time.
    states = keys(0, 0x9E3779B97F4A7C15, 2 * 0x9E3779B97F4A7C15 % 2**64)
    assert [f"{number:016X}" for number in mix(states).tolist()] == [
        "E220A8397B1DCDAF",
        "6E789E6AA1B965F4",
        "06C45D188009454F",
    ]


def test_uniform_numbers_fill_the_interval_from_0_to_below_1() -> None:
    assert uniform(keys(0, 2**62, 2**63, 2**64 - 1)).tolist() == [0.0, 0.25, 0.5, 1 - 2.0**-53]
    numbers = uniform(mix(np.arange(100_000, dtype=np.uint64)))
    counts, _ = np.histogram(numbers, bins=10, range=(0.0, 1.0))
    assert abs(counts - 10_000).max() < 400  # four standard deviations


def test_the_key_of_a_row_does_not_depend_on_the_other_rows() -> None:
    together = row_keys(np.array([7, 3, 9]), seed=1, stream=0)
    assert together.tolist() == [int(row_keys(np.array([row]), seed=1, stream=0)[0]) for row in (7, 3, 9)]


def test_rows_seeds_and_streams_all_have_other_keys() -> None:
    rows = np.arange(100)
    found = {
        key
        for seed in (0, 1, -1, 2**63 - 1)
        for stream in (0, 1)
        for key in row_keys(rows, seed=seed, stream=stream).tolist()
    }
    assert len(found) == 4 * 2 * 100
