import pytest

from nmt.errors import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (1000, "1,000 lines"), (1001, "1,001 lines")]
)
def test_only_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "line") == said


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert counted(1, "process", "processes") == "1 process"
    assert counted(2, "process", "processes") == "2 processes"
