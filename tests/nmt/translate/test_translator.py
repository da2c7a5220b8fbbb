import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmt.batching import SourceBatch
from nmt.config import Settings, load_settings
from nmt.errors import ConfigError, ModelError
from nmt.models.build import build_model
from nmt.models.folder import ModelFolder, Vocabularies
from nmt.subword import JOINT_MODEL, Tokenizer, Tokenizers, train_tokenizer
from nmt.translate import Translator

TEXT = ["the dog runs .", "the cat sleeps .", "a dog and a cat run .", "[NUM] dogs sleep .", "ABCDEFGHIJ", "0123456789"]


@dataclass(frozen=True)
class Place:
    """Where an `Echo` is in its sources [B, S]: the same position for all beams of all sentences."""

    ids: Tensor
    position: int

    def select(self, parents: Tensor) -> "Place":
        return self

    def take(self, sentences: Tensor) -> "Place":
        return Place(self.ids[sentences], self.position)


@dataclass(frozen=True)
class Echo:
    """A model that says what it hears."""

    vocab_size: int

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, src: SourceBatch) -> Tensor:
        return src.ids

    def start(self, memory: Tensor) -> Place:
        return Place(memory, 0)

    def step(self, prev_ids: Tensor, state: Place) -> tuple[Tensor, Place]:
        column = min(state.position, state.ids.shape[1] - 1)
        logits = torch.nn.functional.one_hot(state.ids[:, column], self.vocab_size).float() * 50
        return logits[:, None].expand(-1, prev_ids.shape[1], -1), Place(state.ids, state.position + 1)


@pytest.fixture(scope="module")
def tokenizer_bytes() -> bytes:
    return train_tokenizer(TEXT, kind="unigram", vocab_size=46, symbols=["[NUM]", "[URL]"])


@pytest.fixture(scope="module")
def tokenizers(tokenizer_bytes: bytes) -> Tokenizers:
    joint = Tokenizer(tokenizer_bytes)
    return Tokenizers(joint, joint)


@pytest.fixture(scope="module")
def echo(tokenizers: Tokenizers) -> Translator:
    return echo_with(tokenizers)


def echo_with(tokenizers: Tokenizers, *overrides: str) -> Translator:
    chosen = load_settings(overrides=["model.reverse_source=false", *overrides])
    return Translator(Echo(len(tokenizers.src)), tokenizers, chosen)


@pytest.fixture(scope="module")
def random_model(tokenizers: Tokenizers) -> Translator:
    """A tiny untrained model in double precision, whose rounding does not depend on the batch by more than a hair."""
    chosen = tiny_settings()
    size = len(tokenizers.src)
    model = build_model(chosen.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return Translator(model.double().eval(), tokenizers, chosen)


def tiny_settings() -> Settings:
    tiny = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1", "search.beam_size=3"]
    return load_settings(overrides=[*tiny, "data.max_pieces=20"])


def best_texts(translator: Translator, lines: Sequence[str], **options: Any) -> list[str]:
    return [best.text for best, *_ in translator.translate(lines, **options)]


def test_translations_come_in_the_order_of_the_lines(echo: Translator) -> None:
    lines = ["a dog", "the cat sleeps .", "the", "a dog and a cat run ."]
    assert best_texts(echo, lines) == lines


def test_blank_lines_give_empty_translations_in_no_parts(echo: Translator) -> None:
    found = echo.translate(["", "a dog", " \t\u3000"], n_best=2)
    assert [[(one.text, one.parts) for one in found[row]] for row in (0, 2)] == [[("", 0)], [("", 0)]]
    assert found[1][0].text == "a dog"


def test_no_lines_give_no_translations(echo: Translator) -> None:
    assert echo.translate([]) == []


def test_a_line_is_normalised_before_it_is_translated(echo: Translator) -> None:
    assert best_texts(echo, ["  a dog\r"]) == ["a dog"]


def test_placeholders_get_their_originals_back(tokenizers: Tokenizers) -> None:
    translator = echo_with(tokenizers, 'tokenizer.placeholders=["number", "url"]')
    line = "77777 dogs 8.5 run https://a.example/?x=1 ."
    assert best_texts(translator, [line]) == [line]


def test_a_long_line_is_cut_translated_in_parts_and_joined(tokenizers: Tokenizers) -> None:
    translator = echo_with(tokenizers, "data.max_pieces=8")
    line = "the dog runs . a cat sleeps . the cat and a dog sleep . 0123456789ABCDEF dogs run ."
    [[whole], [short]] = translator.translate([line, "a dog"])
    assert re.sub(r"\s", "", whole.text) == re.sub(r"\s", "", line)
    assert whole.parts >= len(tokenizers.src.encode([line])[0]) // 8
    assert short.parts == 1


def test_a_cut_line_has_the_scores_of_its_parts_together(random_model: Translator) -> None:
    sentence = "the dog and a cat run ."
    [alone] = random_model.translate([sentence], n_best=3)
    [twice] = random_model.translate([f"{sentence} {sentence}"], n_best=3)
    assert [one.parts for one in twice] == [2, 2, 2]
    assert [one.text for one in twice] == [f"{one.text} {one.text}".strip() for one in alone]
    assert [one.score for one in twice] == pytest.approx([2 * one.score for one in alone])
    assert [one.log_probability for one in twice] == pytest.approx([2 * one.log_probability for one in alone])


def test_n_best_are_sorted_and_begin_with_the_best(random_model: Translator) -> None:
    [found] = random_model.translate(["the dog runs ."], beam_size=5, n_best=5)
    scores = [one.score for one in found]
    assert len(found) == 5
    assert scores == sorted(scores, reverse=True)
    assert random_model.translate(["the dog runs ."], beam_size=5) == [found[:1]]


def test_search_settings_are_the_models_own_unless_others_are_given(random_model: Translator) -> None:
    lines = ["the dog runs ."]
    assert random_model.translate(lines) == random_model.translate(lines, beam_size=3, length_penalty=1.0)
    [[plain]] = random_model.translate(lines, length_penalty=0.0)
    assert plain.score == plain.log_probability


WORDS = st.sampled_from(
    ["dog", "the", "cat", ".", "\t", "7", "é", "e\u0301", "\u2028", "\0", "😀", "[NUM]", "\u2581", "走"]
)
LINES = st.lists(st.one_of(st.text(max_size=30), st.lists(WORDS, max_size=30).map(" ".join)), max_size=12)


@given(lines=LINES, batch_tokens=st.integers(1, 500), beam_size=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_lines_of_any_content_in_batches_of_any_size_are_each_translated_as_if_alone(
    random_model: Translator, lines: list[str], batch_tokens: int, beam_size: int
) -> None:
    together = random_model.translate(lines, beam_size=beam_size, batch_tokens=batch_tokens)
    alone = [random_model.translate([line], beam_size=beam_size)[0] for line in lines]
    assert [[one.text for one in found] for found in together] == [[one.text for one in found] for found in alone]
    for found in together:
        assert not set("\r\n") & set(found[0].text)


def test_line_ends_never_get_into_a_translation(tokenizers: Tokenizers) -> None:
    tokenizer = Tokenizer(train_tokenizer([*TEXT, "A\rB\rC"], kind="unigram", vocab_size=50))
    found = best_texts(echo_with(Tokenizers(tokenizer, tokenizer)), ["A\rB"])
    assert tokenizer.decode(tokenizer.encode(["A\rB"])) == ["A\rB"]
    assert found == ["A B"]


def test_settings_out_of_range_are_refused(echo: Translator) -> None:
    with pytest.raises(ConfigError, match=r"search\.beam_size = 0: input should be greater than or equal to 1"):
        echo.translate(["a dog"], beam_size=0)
    with pytest.raises(
        ConfigError, match=r"search\.length_penalty = -1\.0: input should be greater than or equal to 0"
    ):
        echo.translate(["a dog"], length_penalty=-1.0)
    expected = r"^6 translations of each line were asked for, but search\.beam_size = 5 gives 1 to 5$"
    with pytest.raises(ConfigError, match=expected):
        echo.translate(["a dog"], n_best=6)
    with pytest.raises(ConfigError, match=r"^0 translations of each line"):
        echo.translate(["a dog"], n_best=0)


def test_a_model_folder_becomes_a_translator(tmp_path: Path, tokenizer_bytes: bytes) -> None:
    tokenizer = tmp_path / JOINT_MODEL
    tokenizer.write_bytes(tokenizer_bytes)
    size = len(Tokenizer(tokenizer_bytes))
    chosen = tiny_settings()
    model = build_model(chosen.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=3)
    sizes = Vocabularies(src=size, tgt=size, joint=True)
    folder = ModelFolder(tmp_path / "model", settings=chosen, vocabularies=sizes, tokenizers=[tokenizer])
    folder.create()
    folder.save(model, {})
    loaded = Translator.load(tmp_path / "model", device="cpu")
    joint = Tokenizer(tokenizer_bytes)
    made = Translator(model.eval(), Tokenizers(joint, joint), chosen)
    assert loaded.translate(TEXT) == made.translate(TEXT)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist$"):
        Translator.load(tmp_path / "nowhere", device="cpu")
