from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nmt.errors import ConfigError, ModelError
from nmt.lm import Generation, Generator
from nmt.lm import generator as generator_module
from nmt.models.build import build_language_model
from nmt.models.language_model import LanguageModel, LanguageModelState
from nmt.search.sampling import Sampling
from nmt.text.tokenizer import Kind, Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import BOS, EOS, PAD, UNK
from tests.nmt.search.conftest import Recordings

GREEDY = Sampling(top_k=1)


def argmax_chain(generator: Generator, begun: list[int], *, before: list[int], longest: int) -> list[int]:
    """Append the most probable piece to the pieces of a line, which comes after others, until `</s>` comes."""
    line = list(begun)
    while len(line) < longest:
        features, _ = generator.model(torch.tensor([[*before, EOS, *line]]))
        logits = generator.model.output(features)[0, -1]
        logits[[PAD, UNK, BOS]] = -torch.inf
        word = int(logits.argmax())
        if word == EOS:
            break
        line.append(word)
    return line


@pytest.mark.parametrize("prefix", ["", "bat", "cow den fig", "jam map"])
def test_the_most_probable_piece_each_time_is_the_argmax_chain(generator: Generator, prefix: str) -> None:
    ids = generator.tokenizer.encode([prefix])[0]
    with torch.inference_mode():
        chain = argmax_chain(generator, ids, before=[], longest=25)
    [line] = generator.lines(Generation(GREEDY, max_length=25, prefix=prefix), count=1)
    assert line == generator.tokenizer.decode([chain])[0]
    assert line.startswith(prefix)


@pytest.mark.parametrize(("kind", "size"), [("word", 20), ("char", 20), ("bpe", 30)])
def test_words_characters_and_pieces_are_joined_to_text(generator: Generator, kind: Kind, size: int) -> None:
    tokenizer = Tokenizer(train_tokenizer(["bat cow den", "fig gum hat"] * 9, TokenizerPlan(kind, size)))
    model = build_language_model(generator.settings.model, vocab_size=len(tokenizer), seed=3).eval()
    other = Generator(model, tokenizer, generator.settings)
    ids = tokenizer.encode(["bat cow"])[0]
    with torch.inference_mode():
        chain = argmax_chain(other, ids, before=[], longest=20)
    [line] = other.lines(Generation(GREEDY, max_length=20, prefix="bat cow"), count=1)
    assert line == tokenizer.decode([chain])[0]
    assert line.startswith("bat cow")
    assert len(line) > len("bat cow")
    if kind == "word":
        assert set(line.split()) <= {"bat", "cow", "den", "fig", "gum", "hat"}
    [line] = other.lines(Generation(GREEDY, max_length=20, prefix="bat ZORP"), count=1)
    assert line.startswith("bat ZORP")


@pytest.mark.parametrize("longest", [9, 15, 60])
def test_each_line_of_a_text_goes_on_from_those_before_it(generator: Generator, longest: int) -> None:
    with torch.inference_mode():
        begun = generator.tokenizer.encode(["bat cow"])[0]
        first = argmax_chain(generator, begun, before=[], longest=longest)
        second = argmax_chain(generator, [], before=[EOS, *first], longest=longest)
        third = argmax_chain(generator, [], before=[EOS, *first, EOS, *second], longest=longest)
    found = list(islice(generator.text(Generation(GREEDY, max_length=longest, prefix="bat cow")), 3))
    assert found == generator.tokenizer.decode([first, second, third])
    [alone] = generator.lines(Generation(GREEDY, max_length=longest), count=1)
    assert alone != found[1]


def test_a_line_depends_on_the_seed_and_its_number_only(generator: Generator) -> None:
    generation = Generation(Sampling(seed=5), max_length=12)
    many = list(generator.lines(generation, count=70))  # more than are drawn at once
    assert list(generator.lines(generation, count=3)) == many[:3]
    assert len(set(many)) > 60
    other = list(generator.lines(Generation(Sampling(seed=6), max_length=12), count=70))
    assert other != many


def test_a_text_depends_on_the_seed_only(generator: Generator) -> None:
    texts = [list(islice(generator.text(Generation(Sampling(seed=seed), max_length=12)), 5)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("every", [3, 8, 100])
def test_how_often_a_device_is_looked_at_changes_nothing(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    def drawn() -> list[list[str]]:
        generation = Generation(Sampling(seed=5), max_length=13, prefix="bat cow")
        return [list(generator.lines(generation, count=5)), list(islice(generator.text(generation), 5))]

    expected = drawn()
    monkeypatch.setitem(generator_module._LOOK_EVERY, "cpu", every)
    assert drawn() == expected


@pytest.mark.parametrize("sampling", [Sampling(seed=5), Sampling(top_k=3), Sampling(top_p=0.8)], ids=str)
def test_recorded_pieces_are_those_drawn_one_by_one(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    def drawn() -> list[list[str]]:
        generation = Generation(sampling, max_length=13, prefix="bat cow")
        return [list(generator.lines(generation, count=70)), list(islice(generator.text(generation), 9))]

    expected, recordings = drawn(), Recordings()
    monkeypatch.setitem(generator_module._LOOK_EVERY, "cpu", 3)
    monkeypatch.setattr(generator_module, "recorder_for", lambda device: recordings)
    assert drawn() == expected
    assert recordings.made >= 2  # lines beside each other, and a text
    assert recordings.played >= 4


@pytest.mark.needs("gpu")
def test_a_gpu_replays_what_it_would_draw(toy_language_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, generation = Generator.load(toy_language_model, device="cuda"), Generation(max_length=50)
    found = [list(generator.lines(generation, count=70)), list(islice(generator.text(generation), 9))]
    monkeypatch.setattr(generator_module, "recorder_for", lambda device: None)
    assert found == [list(generator.lines(generation, count=70)), list(islice(generator.text(generation), 9))]


def test_a_line_that_is_over_does_not_fail_by_those_beside_it(generator: Generator) -> None:
    generation = Generation(Sampling(seed=5), max_length=12)
    [first] = generator.lines(generation, count=1)
    step = type(generator.model).step

    def with_a_bad_row(model: LanguageModel, ids: Tensor, state: LanguageModelState) -> tuple[Tensor, Any]:
        logits, state = step(model, ids, state)
        logits[5:] = float("nan")
        return logits, state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "step", with_a_bad_row)
        assert list(generator.lines(generation, count=1)) == [first]
        with pytest.raises(ModelError, match="scores that are not finite numbers"):
            list(generator.lines(generation, count=6))


def test_lines_are_cut_at_the_limit(generator: Generator) -> None:
    short, long = (list(generator.lines(Generation(max_length=limit), count=40)) for limit in (3, 100))
    assert all(one.startswith(other.rstrip()) for one, other in zip(long, short, strict=True))
    assert max(map(len, short)) <= 3 * max(map(len, generator.tokenizer.pieces))
    assert any(len(one) > len(other) for one, other in zip(long, short, strict=True))


def test_what_is_drawn_is_as_frequent_as_it_is_probable(generator: Generator) -> None:
    """One piece a line: its frequency over 2,000 lines is within 5 standard deviations of its probability."""
    with torch.inference_mode():
        features, _ = generator.model(torch.tensor([[EOS]]))
        probabilities = generator.model.output(features)[0, 0].softmax(dim=0)
        probabilities[[PAD, UNK, BOS]] = 0
        probabilities /= probabilities.sum()
    best = int(probabilities.argmax())
    [text] = generator.tokenizer.decode([[best]])
    share = list(generator.lines(Generation(max_length=1), count=2000)).count(text) / 2000
    expected = float(probabilities[best])
    assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 2000) ** 0.5)


def test_the_prefix_stands_as_it_was_written(generator: Generator) -> None:
    lines = list(generator.lines(Generation(max_length=20, prefix="  bat \u4e09\ncow "), count=5))
    assert all(line.startswith("bat \u4e09 cow") for line in lines)


def test_only_the_first_line_of_a_text_has_the_prefix(generator: Generator) -> None:
    first, *others = islice(generator.text(Generation(max_length=5, prefix="map log")), 30)
    assert first.startswith("map log")
    assert not all(line.startswith("map log") for line in others)


def test_unknown_pieces_are_never_written(generator: Generator) -> None:
    with torch.no_grad():
        generator.model.output.bias[[PAD, UNK, BOS]] += 20
    lines = list(generator.lines(Generation(max_length=10), count=10))
    assert not any("\u2047" in line or "<" in line for line in lines)


def test_threads_may_share_a_generator(generator: Generator) -> None:
    generation = Generation(max_length=10)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda count: list(generator.lines(generation, count=count)), [4] * 8))
    assert found == [list(generator.lines(generation, count=4))] * 8


def test_lengths_out_of_range_are_refused(generator: Generator) -> None:
    with pytest.raises(ConfigError, match=r"max_length = 0 of generated lines: expected 1 or more"):
        Generation(max_length=0)
    pieces = len(generator.tokenizer.encode(["bat cow"])[0])
    too_long = rf"the prefix has {pieces} pieces, and a line may have {pieces}; shorten it, or allow longer lines"
    with pytest.raises(ConfigError, match=too_long):
        next(generator.lines(Generation(max_length=pieces, prefix="bat cow"), count=1))


def test_a_model_whose_scores_are_no_numbers_is_refused(generator: Generator) -> None:
    with torch.no_grad():
        generator.model.output.bias[7] = float("nan")
    with pytest.raises(ModelError, match="scores that are not finite numbers"):
        next(generator.text(Generation()))


def test_a_translation_model_is_refused(toy_model: Path) -> None:
    with pytest.raises(ModelError, match=r"toy holds a translation model, expected a language model$"):
        Generator.load(toy_model, device="cpu")
