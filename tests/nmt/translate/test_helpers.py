"""Helpers are real processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch

from nmt.errors import NmtError
from nmt.io.arriving import FileLines
from nmt.search.engine import Engine
from nmt.search.protocol import Hypothesis, Sentence
from nmt.translate import Options, Translation, Translator
from nmt.translate.helpers import Answer, Helper, Share, search_share
from nmt.translate.translator import Job

LINES = ["bat cow", "", "den fig gum", "hat", "jam \u2603 kit", "log map \u2603", "cow"] * 80
OPTIONS = Options(n_best=2, batch_tokens=400)


def job(folder: Path, options: Options = OPTIONS, *, workers: int = 1) -> Job:
    return Job(partial(Translator.load, folder, device="cpu", precision="fp32"), options, workers)


def translated(job: Job) -> list[list[Translation]]:
    return [found for block in job.translate(FileLines(LINES), block=500) for found in block]


class Slow:
    """An engine that searches two sentences at once, for a step each, and wants more when one is left."""

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []

    @property
    def busy(self) -> bool:
        return bool(self.sentences)

    @property
    def hungry(self) -> bool:
        return len(self.sentences) < 2

    def add(self, sentences: Sequence[Sentence]) -> None:
        self.sentences += sentences

    def step(self) -> list[tuple[int, list[Hypothesis]]]:
        return [(self.sentences.pop(0).number, [])] if self.sentences else []


def test_a_share_is_searched_until_there_is_room_for_more_and_without_one_until_some_are_over() -> None:
    engines = (cast("Engine[Any, Any]", Slow()), None, cast("Engine[Any, Any]", Slow()))
    shares: list[Share] = [[[Sentence((1,), number) for number in range(4)], [], [Sentence((1,), 9)]], [[], [], []]]
    assert [search_share(engines, share) for share in (*shares, shares[1])] == [
        Answer([[(0, []), (1, []), (2, [])], [], [(9, [])]], left=True),
        Answer([[(3, [])], [], []], left=False),
        Answer([[], [], []], left=False),
    ]


def collected(helper: Helper, wanted: int) -> list[tuple[int, list[Hypothesis]]]:
    found: list[tuple[int, list[Hypothesis]]] = []
    deadline = time.monotonic() + 120
    while len(found) < wanted and time.monotonic() < deadline:
        Helper.wait_for([helper])
        found += [one for searches in helper.take() for search in searches for one in search]
    return sorted(found, key=lambda one: one[0])


@pytest.fixture
def stopped() -> Iterator[Callable[[Helper], Helper]]:
    helpers: list[Helper] = []

    def keep(helper: Helper) -> Helper:
        helpers.append(helper)
        return helper

    yield keep
    for helper in helpers:
        helper.stop()


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_helper_finds_what_is_found_here(
    toy_model: Path, context: Literal["fork", "spawn"], stopped: Callable[[Helper], Helper]
) -> None:
    here = job(toy_model)
    translator = here.load()
    rows = translator.tokenizers.src.encode(["bat cow", "den fig gum"])
    share = [[Sentence(tuple(rows[0]), 0)], [], [Sentence(tuple(rows[1]), 1)]]
    flow, expected = translator.flow(OPTIONS), list[tuple[int, list[Hypothesis]]]()
    given = share
    while len(expected) < 2:
        [plain, _, linked], given = flow.search(given).found, [[], [], []]
        expected += [*plain, *linked]
    helper = stopped(Helper(partial(here.start, here.load), get_context(context)))
    helper.start(len(share))
    assert not helper.hungry  # it loads
    while not helper.hungry:
        Helper.wait_for([helper])
        assert not any(map(any, helper.take()))
    helper.add(share)
    found = collected(helper, 2)
    assert found == sorted(expected, key=lambda one: one[0])
    assert found[0][1][0].attention is None
    [attention] = [some[0].attention for number, some in expected if number == 1]
    assert torch.equal(cast("torch.Tensor", found[1][1][0].attention), torch.as_tensor(attention))


def test_what_helpers_find_is_what_one_process_finds(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, given, add = translated(job(toy_model)), list[Share](), Helper.add

    def watched(self: Helper, share: Share) -> None:
        given.append(share)
        add(self, share)

    monkeypatch.setattr(Helper, "add", watched)
    assert translated(job(toy_model, workers=3)) == alone
    assert [any(share[search] for share in given) for search in range(3)] == [True, False, True]


def test_few_lines_need_no_helper(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Helper, "start", lambda *_: pytest.fail("a process was started"))
    helped = job(toy_model, Options(), workers=3).translate(FileLines(["bat", "cow"]), block=500)
    assert [found[0].text for block in helped for found in block] == ["bato", "cowo"]


def test_a_helper_that_is_killed_is_one_clear_error(toy_model: Path, stopped: Callable[[Helper], Helper]) -> None:
    here = job(toy_model)
    helper = stopped(Helper(partial(here.start, here.load), get_context("fork")))
    helper.start(3)
    assert helper._worker is not None
    os.kill(cast("int", helper._worker.process.pid), signal.SIGKILL)
    with pytest.raises(NmtError, match=r"^a worker process ended unexpectedly"):
        collected(helper, 1)
