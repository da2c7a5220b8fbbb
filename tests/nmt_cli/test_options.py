import pytest
import typer

from nmt_cli.terminal import above_zero


@pytest.mark.parametrize("value", [None, 0.1, 3.0])
def test_what_is_above_zero_stays_as_it_is(value: float | None) -> None:
    assert above_zero(value) == value


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_zero_and_less_are_wrong_usage(value: float) -> None:
    with pytest.raises(typer.BadParameter, match=r"^Input should be greater than 0$"):
        above_zero(value)
