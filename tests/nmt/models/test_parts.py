import pytest
from torch import nn

from nmt.config import ModelSettings
from nmt.config.training import ModelPart
from nmt.errors import ConfigError
from nmt.models.build import build_language_model, build_model
from nmt.models.parts import PARTS, freeze, parts_of
from nmt.models.seq2seq import Seq2Seq

TINY = ModelSettings(embedding_size=8, hidden_size=8, encoder_layers=1)


def tiny(**changes: object) -> Seq2Seq:
    settings = TINY.model_copy(update=changes)
    return build_model(settings, src_vocab_size=12, tgt_vocab_size=12, joint=True, seed=1)


def learning(module: nn.Module) -> bool:
    return all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("frozen", [(part,) for part in PARTS])
def test_frozen_parts_are_held_and_no_others(frozen: tuple[ModelPart, ...]) -> None:
    model = tiny(tied_embeddings="none")
    freeze(model, frozen)
    assert [part for part, module in parts_of(model).items() if not learning(module)] == list(frozen)


def test_of_a_language_model_the_layers_are_the_decoder() -> None:
    model = build_language_model(TINY.model_copy(update={"kind": "lm"}), vocab_size=12, seed=1)
    freeze(model, ["decoder"])
    assert not learning(model.layers)
    assert learning(model.embedding)
    with pytest.raises(ConfigError, match=r"names encoder, which a language model has not: tgt_embedding, dec"):
        freeze(model, ["encoder"])


def test_a_table_that_others_learn_is_not_frozen() -> None:
    with pytest.raises(ConfigError, match=r"names src_embedding, but not tgt_embedding, which shares its table: n"):
        freeze(tiny(), ["src_embedding", "encoder"])
    model = tiny()
    freeze(model, ["src_embedding", "tgt_embedding", "output"])
    assert learning(model.decoder)


def test_something_is_left_to_learn() -> None:
    with pytest.raises(ConfigError, match=r"names all parts of the model: nothing is left to learn$"):
        freeze(tiny(), PARTS)
