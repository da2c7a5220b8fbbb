import threading

import pytest

from nmt.io.background import Background


def test_work_is_done_in_its_order_and_all_of_it_by_the_end_of_the_block() -> None:
    done, may_go_on = list[int](), threading.Event()
    with Background() as background:
        background.begin(may_go_on.wait)  # type: ignore[arg-type]
        for number in range(3):
            background.begin(lambda number=number: done.append(number))  # type: ignore[misc]
        assert done == []  # nobody has waited
        may_go_on.set()
    assert done == [0, 1, 2]


def test_one_may_wait_for_all_work_or_for_a_piece_of_it() -> None:
    done = list[str]()
    with Background() as background:
        background.begin(lambda: done.append("first")).result()
        assert done == ["first"]
        background.begin(lambda: done.append("second"))
        background.wait()
        assert done == ["first", "second"]


def fail() -> None:
    raise OSError(28, "No space left on device", "m/w")


def test_after_an_error_nothing_more_is_done_and_whoever_comes_next_is_told() -> None:
    done = list[int]()
    with pytest.raises(OSError, match="No space left on device: 'm/w'"), Background() as background:
        background.begin(fail)
        with pytest.raises(OSError, match="No space left on device: 'm/w'"):
            background.wait()
        with pytest.raises(OSError, match="No space left on device: 'm/w'"):
            background.begin(lambda: done.append(1))
        with pytest.raises(OSError, match="No space left on device: 'm/w'"):
            background.check()
    assert done == []


def test_work_that_waits_behind_an_error_is_not_done() -> None:
    done, may_go_on = list[int](), threading.Event()
    background = Background()
    background.begin(may_go_on.wait)  # type: ignore[arg-type]
    background.begin(fail)
    background.begin(lambda: done.append(1))
    may_go_on.set()
    with pytest.raises(OSError, match="No space left"):
        background.wait()
    assert done == []


def test_what_the_block_raises_is_told_and_not_what_the_work_did() -> None:
    with pytest.raises(ValueError, match="mine"), Background() as background:
        background.begin(fail)
        raise ValueError("mine")
