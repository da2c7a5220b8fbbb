"""Several models that decide together."""

from pathlib import Path

import pytest

from nmt.config import load_settings
from nmt.errors import ConfigError, ModelError
from nmt.models.build import build_model
from nmt.models.folder import ModelFolder, Vocabularies
from nmt.text.tokenizer import Tokenizer, tokenizer_files
from nmt.translate import Options, Translator

from .conftest import best_texts


def test_models_of_one_tokenizer_decide_together(toy_model: Path, toy: Translator) -> None:
    ensemble = Translator.load(toy_model, toy_model, device="cpu", precision="fp32")
    lines = ["bat cow", "hat jam kit"]
    assert best_texts(ensemble, lines) == best_texts(toy, lines)
    scores = [best.score for best, *_ in ensemble.translate(lines)]
    assert scores == pytest.approx([best.score for best, *_ in toy.translate(lines)], abs=1e-5)
    with pytest.raises(ConfigError, match="a single model"):
        ensemble.translate(lines, Options(shortlist=32))


def untrained(folder: Path, tokenizer: Path, *overrides: str) -> Path:
    """Write a tiny model."""
    tiny = ["model.embedding_size=8", "model.hidden_size=8", "model.encoder_layers=1", *overrides]
    chosen, size = load_settings(overrides=tiny), len(Tokenizer.load(tokenizer))
    model = build_model(chosen.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=3)
    sizes = Vocabularies(src=size, tgt=size, joint=True)
    made = ModelFolder(folder, settings=chosen, vocabularies=sizes, tokenizers={tokenizer.name: tokenizer.read_bytes()})
    made.create()
    made.save(model, {})
    return folder


def test_models_that_do_not_fit_are_refused(toy_model: Path, tmp_path: Path, tokenizer_bytes: bytes) -> None:
    [own] = tokenizer_files(toy_model)
    foreign = tmp_path / own.name
    foreign.write_bytes(tokenizer_bytes)
    other = untrained(tmp_path / "other", foreign)
    with pytest.raises(ModelError) as caught:
        Translator.load(toy_model, other, device="cpu")
    assert str(caught.value) == (f"{other} has other tokenizers than {toy_model}; the models of an ensemble share them")
    forwards = untrained(tmp_path / "forwards", own, "model.reverse_source=false")
    with pytest.raises(ConfigError) as refused:
        Translator.load(toy_model, forwards, device="cpu")
    assert str(refused.value) == (
        f"{forwards} has model.reverse_source = false, {toy_model} has the opposite; "
        "the models of an ensemble read in one direction"
    )
    other_way = untrained(tmp_path / "other way", own, "model.right_to_left=true")
    with pytest.raises(
        ConfigError, match=r"model.right_to_left = true, .* has the opposite; .* write in one direction$"
    ):
        Translator.load(toy_model, other_way, device="cpu")
    small = untrained(tmp_path / "small", own, "data.lowercase=true")
    with pytest.raises(ConfigError, match=r"data.lowercase = true, .* has the opposite; .* read and write one case$"):
        Translator.load(toy_model, small, device="cpu")


def test_models_of_other_shapes_decide_together(toy_model: Path, tmp_path: Path) -> None:
    [tokenizer] = tokenizer_files(toy_model)
    small = untrained(tmp_path / "small", tokenizer, "model.cell='gru'", "model.input_feeding=true")
    [[found]] = Translator.load(toy_model, small, device="cpu").translate(["bat cow"])
    assert (found.text, found.parts) == ("bato cowo", 1)
