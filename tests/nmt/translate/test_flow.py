from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmt.config import Settings
from nmt.errors import DataError, ModelError
from nmt.io.arriving import FileLines
from nmt.search.engine import ENCODED_AT_ONCE, Engine
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.sampling import Sampling
from nmt.text.tokenizer import Tokenizers
from nmt.translate import Flow, Options, Translation, Translator, translate_source
from nmt.translate.processing import LineProcessor

Found = list[list[Translation]]

LINES = st.lists(
    st.sampled_from(["", "a", "a dog", "the cat sleeps .", "a dog and a cat run . " * 2, "走 \0"]), max_size=8
)


class Script:
    """Lines that arrive in portions; an empty one: nothing has arrived by then."""

    def __init__(self, *portions: Sequence[str], failure: DataError | None = None, endless: bool = False) -> None:
        self._portions = [list(portion) for portion in portions]
        self._failure = failure
        self._endless = endless
        self.asked: list[bool] = []
        """Whether each call would have waited."""

    @property
    def ended(self) -> bool:
        return not (self._portions or self._failure or self._endless)

    def take(self, limit: int, *, wait: bool) -> list[str]:
        self.asked.append(wait)
        while wait and self._portions and not self._portions[0]:
            del self._portions[0]
        if not self._portions:
            if self._failure:
                raise self._failure
            assert not (wait and self._endless), "this would wait for ever"
            return []
        portion = self._portions[0]
        if len(portion) <= limit:
            del self._portions[0]
            return portion
        taken, self._portions[0] = portion[:limit], portion[limit:]
        return taken


class Recorder:
    """An engine that writes down what it is given; of what it has, the last is over first."""

    device = None

    def __init__(self) -> None:
        self.added: list[list[Sentence]] = []
        self.sentences: list[Sentence] = []

    @property
    def hungry(self) -> bool:
        return not self.sentences

    def at_once(self, pieces: int) -> int:
        return max(1, min(128, 4096 // (pieces + 1)))

    def add(self, sentences: Sequence[Sentence]) -> None:
        self.added.append(list(sentences))
        self.sentences += sentences

    def step(self) -> list[tuple[int, list[Hypothesis]]]:
        if not self.sentences:
            return []
        one = self.sentences.pop()
        return [(one.number, [Hypothesis(one.ids, -1.0, -1.0)])]


def recorded(tokenizers: Tokenizers, *, max_pieces: int = 128, **options: Any) -> tuple[Flow, Recorder]:
    recorder = Recorder()
    settings = Settings.model_validate({"data": {"max_pieces": max_pieces}})
    processor = LineProcessor(tokenizers, settings, Options(**options))
    return Flow(processor, cast("Engine[Any, Any]", recorder)), recorder


def drain(flow: Flow) -> Found:
    found: Found = []
    while flow.busy:
        found += flow.step()
    return found


def texts(found: Found) -> list[str]:
    return [best.text for best, *_ in found]


class Forgetful(Recorder):
    """A search that forgets a word."""

    def __init__(self, word: int) -> None:
        super().__init__()
        self._word = word

    def step(self) -> list[tuple[int, list[Hypothesis]]]:
        return [
            (number, [replace(one, ids=tuple(word for word in one.ids if word != self._word)) for one in found])
            for number, found in super().step()
        ]


def test_only_sentences_that_lost_a_placeholder_are_searched_again(tokenizers: Tokenizers) -> None:
    masking = Settings.model_validate({"tokenizer": {"placeholders": ["number"]}})
    processor = LineProcessor(tokenizers, masking, Options())
    number = processor.copied["number"]
    first, again = Forgetful(number), Recorder()
    flow = Flow(processor, cast("Engine[Any, Any]", first), cast("Engine[Any, Any]", again))
    flow.put(["a dog", "7 dogs", "", "a cat", "the 8 cats sleep"])
    assert texts(drain(flow)) == ["a dog", "7 dogs", "", "a cat", "the 8 cats sleep"]
    assert [len(added) for added in first.added] == [4]
    assert sorted(one.ids.count(number) for added in again.added for one in added) == [1, 1]


def test_only_lines_with_something_to_put_back_are_searched_with_attention(tokenizers: Tokenizers) -> None:
    processor = LineProcessor(tokenizers, Settings(), Options())
    plain, linking = Recorder(), Recorder()
    flow = Flow(processor, cast("Engine[Any, Any]", plain), None, cast("Engine[Any, Any]", linking))
    flow.put(["a dog", "a dog 😀", "😀", "a cat"])
    assert texts(drain(flow)) == ["a dog", "a dog 😀", "😀", "a cat"]
    assert [len(plain.added[0]), len(linking.added[0])] == [2, 1]


def test_a_flow_without_lines_is_hungry_and_not_busy(echo: Translator) -> None:
    flow = echo.flow()
    assert (flow.hungry, flow.busy, flow.step()) == (True, False, [])


def test_lines_come_out_in_the_order_in_which_they_went_in(tokenizers: Tokenizers) -> None:
    flow, recorder = recorded(tokenizers)
    flow.put(["a a a", "", "a a"])
    flow.put(["a"])
    done = []
    while flow.busy:
        done.append(texts(flow.step()))
    assert done == [[], [], ["a a a", "", "a a", "a"]]
    assert len(recorder.added) == 1


def test_a_blank_line_needs_no_search(tokenizers: Tokenizers) -> None:
    flow, recorder = recorded(tokenizers)
    flow.put(["", " "])
    assert texts(flow.step()) == ["", ""]
    assert not flow.busy
    assert not recorder.added


def test_the_longest_lines_of_a_portion_are_translated_first_and_portions_in_their_order(
    tokenizers: Tokenizers,
) -> None:
    flow, recorder = recorded(tokenizers)
    flow.put(["a " * (1 + number % 20) for number in range(200)])
    flow.put(["a " * 30, "a"])
    assert not flow.hungry
    drain(flow)
    first, second = ([len(one.ids) for one in added] for added in recorder.added)
    assert (len(first), len(second)) == (ENCODED_AT_ONCE, 200 + 2 - ENCODED_AT_ONCE)
    assert first + second[:-2] == sorted(first + second[:-2], reverse=True)
    assert second[-2:] == [30, 1]


def test_so_many_long_sentences_are_encoded_together_that_they_have_4096_positions(tokenizers: Tokenizers) -> None:
    flow, recorder = recorded(tokenizers)
    flow.put(["a " * 60] * 70)  # with `</s>` 61 positions each: 67 of them
    flow.put(["a " * 100, "a"])  # 101 positions: 40 of them
    drain(flow)
    assert [len(added) for added in recorder.added] == [67, 5]
    flow.put(["a " * 10] * 100)
    flow.put(["a " * 100] * 3)
    drain(flow)
    assert [len(added) for added in recorder.added[2:]] == [100, 3]


def test_a_sentence_of_more_positions_than_are_encoded_together_comes_alone(tokenizers: Tokenizers) -> None:
    flow, recorder = recorded(tokenizers, max_pieces=5000)
    flow.put(["a " * 4500, "a"])
    drain(flow)
    assert [len(added) for added in recorder.added] == [1, 1]


def test_a_flow_is_hungry_until_enough_sentences_wait(tokenizers: Tokenizers) -> None:
    flow, _ = recorded(tokenizers, document=True)
    flow.put(["A dog. " * (ENCODED_AT_ONCE - 1)])
    assert flow.hungry
    flow.put(["A dog."])
    assert not flow.hungry
    flow.step()
    assert flow.hungry


@given(lines=LINES, data=st.data())
@settings(max_examples=10)
def test_portions_of_any_size_at_any_time_change_nothing(
    random_model: Translator, lines: list[str], data: st.DataObject
) -> None:
    options = Options(n_best=2, batch_tokens=data.draw(st.sampled_from([1, 100, 8000])))
    if data.draw(st.booleans(), label="sample"):
        options = Options(n_best=2, sampling=Sampling(seed=4))
    expected = random_model.translate(lines, options)
    flow = random_model.flow(options)
    found: Found = []
    waiting = list(lines)
    while waiting or flow.busy:
        count = data.draw(st.integers(0, 4))
        flow.put(waiting[:count])
        del waiting[:count]
        for _ in range(data.draw(st.integers(1, 5))):
            found += flow.step()
    assert found == expected


def test_random_numbers_depend_on_the_number_of_the_line(random_model: Translator) -> None:
    options = Options(sampling=Sampling(seed=7))
    whole = random_model.translate(["a dog"] * 6, options)
    assert len(set(texts(whole))) > 1
    flow = random_model.flow(options, first_line=4)
    flow.put(["a dog"] * 2)
    assert drain(flow) == whole[4:]


def test_all_lines_of_a_source_are_translated(echo: Translator) -> None:
    lines = ["a dog", "", "the cat sleeps .", "the"] * 5
    blocks = list(translate_source(echo.flow(), FileLines(lines), block=3))
    assert [text for block in blocks for text in texts(block)] == lines
    assert all(blocks)
    assert list(translate_source(echo.flow(), FileLines([]), block=3)) == []


def test_lines_are_counted_when_they_are_translated_and_not_only_when_they_are_given_back(echo: Translator) -> None:
    flow, counts = echo.flow(), list[int]()
    [found] = translate_source(
        flow, FileLines(["the cat sleeps .", "", "a"]), block=3, on_lines=lambda lines, _: counts.append(lines)
    )
    assert len(found) == 3
    assert counts == sorted(counts)
    assert list(dict.fromkeys(counts)) == [2, 3], "the short line is not waited for"


def test_a_source_is_waited_for_only_when_nothing_is_under_way(echo: Translator) -> None:
    source = Script(["a dog", "the"], [], ["a cat"], [], [], ["", "the dog"], [], [])
    found = [texts(block) for block in translate_source(echo.flow(), source, block=10)]
    assert [text for block in found for text in block] == ["a dog", "the", "a cat", "", "the dog"]
    # at once, and whenever all has been given back
    assert source.asked[:2] == [True, False]
    assert sum(source.asked) <= 4


def test_a_line_does_not_wait_for_one_that_has_not_come(echo: Translator) -> None:
    source = Script(["a dog"], endless=True)
    assert texts(next(iter(translate_source(echo.flow(), source, block=10)))) == ["a dog"]


def test_lines_before_one_that_cannot_be_read_are_translated_first(echo: Translator) -> None:
    source = Script(["a dog", "the cat"], ["the"], failure=DataError("line 4 is broken"))
    found: list[str] = []
    with pytest.raises(DataError, match=r"^line 4 is broken$"):
        for block in translate_source(echo.flow(), source, block=10):
            found += texts(block)
    assert found == ["a dog", "the cat", "the"]


def test_a_model_that_cannot_be_used_is_an_error(echo: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    step = type(echo.model).step
    monkeypatch.setattr(
        type(echo.model), "step", lambda self, ids, state: (step(self, ids, state)[0] * float("nan"), state)
    )
    with pytest.raises(ModelError, match=r"^the model gives scores that are not finite numbers; its weights cannot be"):
        echo.translate(["a dog"])


def test_a_flow_of_long_blank_lines_is_not_hungry_for_ever(tokenizers: Tokenizers) -> None:
    flow, _ = recorded(tokenizers)
    flow.put([" " * (1 << 18)])
    assert flow.hungry
    flow.put([" " * (1 << 18)])
    assert not flow.hungry
    assert len(flow.step()) == 2
    assert flow.hungry


def test_a_flow_of_blank_lines_is_not_hungry_for_ever(tokenizers: Tokenizers) -> None:
    flow, _ = recorded(tokenizers)
    flow.put([""] * 10_000)
    assert not flow.hungry
    assert len(flow.step()) == 10_000
    assert flow.hungry
