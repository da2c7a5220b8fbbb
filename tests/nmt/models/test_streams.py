from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.models import streams
from nmt.models.streams import side_by_side


def test_on_a_cpu_one_follows_the_other() -> None:
    done = list[str]()

    def make(name: str) -> Tensor:
        done.append(name)
        return torch.zeros(1)

    side_by_side(lambda: make("first"), lambda: make("second"), shared=[torch.zeros(1)])
    assert done == ["first", "second"]


class Place:
    """A tensor on a GPU, of which only the streams that use it are known."""

    device = torch.device("cuda", 0)

    def __init__(self) -> None:
        self.kept_for: list[object] = []

    def record_stream(self, stream: object) -> None:
        self.kept_for.append(stream)


class Stream:
    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def wait_stream(self, other: "Stream") -> None:
        self.told.append(f"{self.name} waits for {other.name}")

    def __enter__(self) -> None:
        self.told.append(f"on {self.name}:")

    def __exit__(self, *error: object) -> None:
        self.told.append("on here:")


def test_streams_wait_for_each_other_and_memory_is_kept_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    here, side = Stream("here", told), Stream("side", told)

    def enter(stream: Any) -> AbstractContextManager[None]:
        return stream  # type: ignore[no-any-return]

    cuda = SimpleNamespace(current_stream=lambda device: here, stream=enter)
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(streams, "_side_stream", lambda device: side)
    monkeypatch.setattr(streams, "tensors_of", list)
    shared, results = Place(), [Place(), Place()]

    def do(name: str, result: list[Place]) -> list[Place]:
        told.append(name)
        return result

    made = side_by_side(
        lambda: do("first", results[:1]),
        lambda: do("second", results[1:]),
        shared=[shared],  # type: ignore[list-item]
    )
    assert made == (results[:1], results[1:])
    assert told == ["side waits for here", "first", "on side:", "second", "on here:", "here waits for side"]
    assert [place.kept_for for place in (shared, *results)] == [[side], [], [here]]
