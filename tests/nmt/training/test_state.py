import json

import pytest

from nmt.training.state import Horizon, Position, TrainingState

HORIZON = Horizon(max_steps=0, max_epochs=3, batch_tokens=150, accumulate=2, steps=57)
FULL = TrainingState(
    data="ab" * 32,
    step=7,
    horizon=HORIZON,
    position=Position(2, ((800, 30), (400, 12))),
    tokens=4321,
    seconds=12.5,
    window_loss=0.1 + 0.2,  # no short decimal
    window_tokens=99,
    halvings=1,
    plateau=2,
    best_loss=1 / 3,
    best_score=36.25,
    best_step=6,
    stale=1,
    validated=6,
)


@pytest.mark.parametrize("state", [TrainingState(), FULL], ids=["new", "every counter set"])
def test_the_counters_come_back_as_they_were(state: TrainingState) -> None:
    back = TrainingState.from_json(state.to_json())
    assert back == state
    assert back.to_json() == state.to_json()


def test_no_counter_is_left_at_its_default_by_the_test_above() -> None:
    new = TrainingState()
    assert [name for name, value in vars(FULL).items() if value == getattr(new, name)] == []


def test_a_position_that_comes_back_can_be_compared_and_hashed() -> None:
    back = TrainingState.from_json(FULL.to_json()).position
    assert back.parts == ((800, 30), (400, 12))
    assert hash(back) == hash(FULL.position)


def test_counters_of_another_version_are_refused_by_name() -> None:
    values = json.loads(FULL.to_json())
    values["cursor"] = values.pop("stale")
    with pytest.raises(ValueError, match=r"^counters \['cursor', 'stale'\] do not fit$"):
        TrainingState.from_json(json.dumps(values))


def test_a_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        TrainingState.from_json(FULL.to_json()[:-20] + "}")


def test_a_position_counts_the_pairs_of_all_its_parts() -> None:
    assert Position(3, ((800, 30), (400, 12), (800, 5))).pairs == 47
    assert Position(3).pairs == 0


def test_a_horizon_is_the_same_when_its_settings_are() -> None:
    assert TrainingState.from_json(FULL.to_json()).horizon == HORIZON
    assert Horizon(0, 3, 150, 2, steps=57) == HORIZON
    assert Horizon(0, 3, 150, 1, steps=57) != HORIZON
