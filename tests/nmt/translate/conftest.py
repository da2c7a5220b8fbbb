"""Small translators: one that says what it hears, one that has learnt nothing, and one that has learnt something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nmt.batching import SourceBatch
from nmt.config import Settings, load_settings
from nmt.models.build import build_model
from nmt.models.devices import for_inference
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import PAD
from nmt.translate import Options, Translator
from nmt.translate.options import DEFAULT

TEXT = ["the dog runs .", "the cat sleeps .", "a dog and a cat run .", "[NUM] dogs sleep .", "ABCDEFGHIJ", "0123456789"]


@dataclass(frozen=True)
class Place:
    """Where an `Echo` is in its sources."""

    ids: Tensor
    """[B, S]"""
    positions: Tensor
    """[B, K]"""
    pieces: None = None

    @property
    def attention(self) -> Tensor:
        last = (self.positions - 1).clamp(0, self.ids.shape[1] - 1)
        return nn.functional.one_hot(last, self.ids.shape[1]).float()  # [B, K, S]

    def select(self, parents: Tensor) -> "Place":
        return Place(self.ids, self.positions.gather(1, parents))

    def take(self, sentences: Tensor) -> "Place":
        return Place(self.ids[sentences], self.positions[sentences])

    def join(self, other: "Place") -> "Place":
        size = max(self.ids.shape[1], other.ids.shape[1])
        ids = [nn.functional.pad(part.ids, (0, size - part.ids.shape[1]), value=PAD) for part in (self, other)]
        return Place(torch.cat(ids), torch.cat([self.positions, other.positions]))


@dataclass(frozen=True)
class Echo:
    """A model that says what it hears, a word of the source for a word of the target."""

    vocab_size: int

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, src: SourceBatch) -> Tensor:
        return src.ids

    def start(self, memory: Tensor) -> Place:
        return Place(memory, torch.zeros(len(memory), 1, dtype=torch.int64))

    def step(self, prev_ids: Tensor, state: Place) -> tuple[Tensor, Place]:
        heard = state.ids.gather(1, state.positions.clamp(max=state.ids.shape[1] - 1))  # [B, K]
        logits = nn.functional.one_hot(heard, self.vocab_size).float() * 50
        return logits, Place(state.ids, state.positions + 1)


EchoWith = Callable[..., Translator]
"""Makes a translator that says what it hears, with these settings, and maybe with another tokenizer."""


def best_texts(translator: Translator, lines: Sequence[str], options: Options = DEFAULT) -> list[str]:
    return [best.text for best, *_ in translator.translate(lines, options)]


@pytest.fixture(scope="module")
def toy(toy_model: Path) -> Translator:
    """What has learnt that every word gains an -o."""
    return Translator.load(toy_model, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def tokenizer_bytes() -> bytes:
    return train_tokenizer(TEXT, TokenizerPlan("unigram", 46, symbols=["[NUM]", "[URL]"]))


@pytest.fixture(scope="session")
def tokenizers(tokenizer_bytes: bytes) -> Tokenizers:
    joint = Tokenizer(tokenizer_bytes)
    return Tokenizers(joint, joint)


@pytest.fixture(scope="session")
def echo_with(tokenizers: Tokenizers) -> EchoWith:
    def make(*overrides: str, tokenizer: Tokenizer | None = None) -> Translator:
        chosen = load_settings(overrides=["model.reverse_source=false", *overrides])
        heard = Tokenizers(tokenizer, tokenizer) if tokenizer else tokenizers
        return Translator(Echo(len(heard.src)), heard, chosen)

    return make


@pytest.fixture(scope="session")
def echo(echo_with: EchoWith) -> Translator:
    return echo_with()


@pytest.fixture(scope="session")
def tiny_settings() -> Settings:
    """Of a model for lines of up to 20 pieces."""
    tiny = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1", "search.beam_size=3"]
    return load_settings(overrides=[*tiny, "data.max_pieces=20"])


@pytest.fixture(scope="session")
def random_model(tokenizers: Tokenizers, tiny_settings: Settings) -> Translator:
    """A tiny untrained model: its translations are nonsense, but each has its own."""
    size = len(tokenizers.src)
    model = build_model(tiny_settings.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return Translator(for_inference(model, "fp32"), tokenizers, tiny_settings)
