from pathlib import Path

import pytest

from nmt.config import Settings, load_settings, parse_settings, to_toml
from nmt.config.effects import warnings_of_idle

ALL = tuple(Settings.model_fields)


def warnings(*overrides: str) -> list[str]:
    return warnings_of_idle(load_settings(overrides=overrides), *ALL)


def test_the_defaults_are_all_of_use() -> None:
    assert warnings() == []
    assert warnings_of_idle(parse_settings(to_toml(Settings()), where="config.toml"), *ALL) == []


def test_a_further_objective_makes_no_use_of_what_belongs_to_another() -> None:
    settings = load_settings(overrides=["training.samples=9", "training.label_smoothing=0.2"])
    training = settings.training.model_copy(update={"objective": "another"})
    assert warnings_of_idle(settings.model_copy(update={"training": training}), "training") == [
        'an objective other than "sampled" makes no use of training.samples',
        'an objective other than "full" makes no use of training.label_smoothing',
    ]


@pytest.mark.parametrize(
    ("wishes", "warning"),
    [
        (["training.momentum=0.9"], "Adam makes no use of training.momentum"),
        (["training.momentum=0.9", "training.optimizer=adamw"], "Adam makes no use of training.momentum"),
        (
            ["training.betas=[0.8,0.9]", "training.optimizer=sgd"],
            'training.optimizer = "sgd" makes no use of training.betas',
        ),
        (
            ["training.samples=9", "training.sampler=unigram"],
            'an objective other than "sampled" makes no use of training.sampler, training.samples',
        ),
        (
            ["training.label_smoothing=0.2", "training.objective=sampled"],
            'an objective other than "full" makes no use of training.label_smoothing',
        ),
        (["training.plateau_patience=9"], 'a schedule other than "plateau" makes no use of training.plateau_patience'),
        (
            ["training.decay_after_epochs=9"],
            'a schedule other than "epoch_decay" makes no use of training.decay_after_epochs',
        ),
        (
            ["training.schedule=epoch_decay", "training.decay_after_steps=9", "training.decay_every_steps=9"],
            'a schedule other than "step_decay" makes no use of training.decay_after_steps, training.decay_every_steps',
        ),
        (
            ["training.decay_factor=0.8"],
            'a schedule other than "epoch_decay" and "step_decay" makes no use of training.decay_factor',
        ),
        (["training.max_steps=9", "training.max_epochs=2"], "a run of training.max_steps makes no use of"),
        (["training.noise_kinds=['typos']"], "training.noise = 0 makes no use of training.noise_kinds"),
        (["training.device=cuda", "training.threads=2"], "a GPU makes no use of training.threads"),
        (
            ["training.max_steps=9", "training.max_epochs=2", "training.time=20m"],
            "a run of training.time makes no use of training.max_steps, training.max_epochs",
        ),
        (["model.encoder_layers=1", "model.encoder_dropout=0.1"], "model.encoder_layers = 1 makes no use of"),
        (["model.decoder_dropout=0.1"], "model.decoder_layers = 1 makes no use of model.decoder_dropout"),
        (
            ["model.init=he", "model.init_range=0.1"],
            'a model.init other than "uniform" makes no use of model.init_range',
        ),
        (["model.cell=gru", "model.forget_bias=0"], "a cell without a forget gate makes no use of model.forget_bias"),
        (
            ["model.cell=gru", "model.encoder_cell=rnn", "model.decoder_cell=ssru"],
            "a model whose every cell is set makes",
        ),
        (["model.kind=lm", "model.hidden_size=6", "model.decoder_size=8"], "a model whose every size is set makes no"),
        (
            ["model.kind=lm", "model.encoder_cell=gru", "model.encoder_size=8"],
            'model.kind = "lm" makes no use of model.encoder_cell, model.encoder_size',
        ),
        (
            ["model.encoder_cell=rnn", "model.decoder_cell=gru", "model.forget_bias=0"],
            "a cell without a forget gate makes no use of model.forget_bias",
        ),
        (["model.dropout=0", "model.variational_dropout=true"], "a model without dropout makes no use of"),
        (
            ["model.dropout=0", "model.recurrent_dropout=0.1", "training.r_drop=1"],
            "a model in which no dropout differs by sentence makes no use of training.r_drop",
        ),
        (
            [f"model.{place}_dropout=0.2" for place in ("embedding", "encoder", "readout")] + ["model.dropout=0.4"],
            "a model whose every dropout is set makes no use of model.dropout",
        ),
        (["search.beam_size=1", "search.coverage_penalty=0.2"], "search.beam_size = 1 makes no use of"),
        (["training.segment_rows=3", "training.carry_state=false"], "a translation model makes no use of"),
        (["data.train_text=['a']", "data.drop_copies=false", "model.kind=lm"], "text for a language model makes no"),
        (["data.train_text=['a']", "tokenizer.joint=false", "model.kind=lm"], "text for a language model makes no"),
        (["data.valid_src=a", "data.valid_tgt=b", "data.heldout_pairs=9"], "a preparation with validation text makes"),
        (["tokenizer.file=a", "tokenizer.character_coverage=0.99"], "a tokenizer from a file makes no use of"),
        (["model.residual=99"], "a model of fewer layers makes no use of model.residual"),
        (["model.kind=lm", "model.residual=2"], "a model of fewer layers makes no use of model.residual"),
        (["tokenizer.tgt_vocab_size=99"], "tokenizer.joint = true makes no use of tokenizer.tgt_vocab_size"),
        (["tokenizer.kind=byte", "tokenizer.vocab_size=99"], 'tokenizer.kind = "byte" makes no use of'),
        (["model.kind=lm", "model.attention=dot"], 'model.kind = "lm" makes no use of model.attention'),
        (["model.attention=none", "model.attention_heads=2"], 'model.attention = "none" makes no use of'),
        (["model.kind=lm", "training.batch_tokens=9"], 'model.kind = "lm" makes no use of training.batch_tokens'),
        (["model.kind=lm", "search.beam_size=1"], 'model.kind = "lm" makes no use of search.beam_size'),
    ],
)
def test_a_setting_without_effect_is_warned_about(wishes: list[str], warning: str) -> None:
    (found,) = warnings(*wishes)
    assert found.startswith(warning)


@pytest.mark.parametrize(
    "wishes",
    [
        ["training.momentum=0.9", "training.optimizer=sgd"],
        ["training.samples=9", "training.objective=sampled", "training.label_smoothing=0"],
        ["training.plateau_patience=9", "training.schedule=plateau"],
        ["training.decay_factor=0.8", "training.schedule=epoch_decay"],
        ["tokenizer.tgt_vocab_size=99", "tokenizer.joint=false"],
        ["training.decay_factor=0.8", "training.decay_every_steps=9", "training.schedule=step_decay"],
        ["model.decoder_dropout=0.1", "model.decoder_layers=2"],
        ["model.variational_dropout=true"],
        ["training.r_drop=1"],
        ["model.dropout=0", "model.word_dropout=0.1", "training.r_drop=1"],
        ["training.max_steps=9"],
        ["model.init_range=0.1", "model.forget_bias=0"],
        ["model.cell=ssru", "model.forget_bias=0"],
        ["model.cell=gru", "model.decoder_cell=ssru", "model.forget_bias=0"],
        ["model.hidden_size=6", "model.decoder_size=8"],
        ["model.recurrent_dropout=0.1", "model.encoder_cell=ssru"],
    ],
)
def test_a_setting_that_is_used_is_not(wishes: list[str]) -> None:
    assert warnings(*wishes) == []


def test_only_the_sections_that_a_command_uses_are_looked_at() -> None:
    settings = load_settings(overrides=["training.momentum=0.9", "tokenizer.kind=byte", "tokenizer.vocab_size=99"])
    assert len(warnings_of_idle(settings, "data", "tokenizer")) == 1
    assert len(warnings_of_idle(settings, "model", "training", "search")) == 1


@pytest.mark.parametrize(
    "recipe", sorted((Path(__file__).parents[3] / "recipes").rglob("*.toml")), ids=lambda path: path.stem
)
def test_our_recipes_set_nothing_that_is_left_aside(recipe: Path) -> None:
    assert warnings_of_idle(load_settings(recipe), *ALL) == []
