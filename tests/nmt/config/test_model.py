import re
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from nmt.config import ModelSettings, Settings, TokenizerSettings, TrainingSettings, load_settings
from nmt.config.describe import describe_settings
from nmt.config.load import setting_names

# DESIGN promises these names to scripts
PROMISED = """
tokenizer.vocab_size tokenizer.kind model.cell model.embedding_size model.hidden_size model.encoder_layers
model.decoder_layers model.bidirectional model.reverse_source model.attention model.input_feeding model.dropout
training.objective training.batch_tokens training.max_steps training.max_epochs training.learning_rate
training.checkpoint_every training.validate_every training.seed training.precision training.threads
search.beam_size search.length_penalty search.batch_tokens
""".split()


def test_the_names_that_scripts_rely_on_exist() -> None:
    assert set(PROMISED) <= set(setting_names())


def test_every_setting_is_documented() -> None:
    described = {one.name: one.text for one in describe_settings()}
    assert set(setting_names()) <= described.keys()
    assert [name for name, text in described.items() if not text.endswith(".")] == []


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.model.cell = "gru"  # type: ignore[misc]


@pytest.mark.parametrize("residual", [False, True, 3])
def test_residual_connections_are_in_no_layer_or_all_or_from_one_on(residual: bool | int) -> None:
    kept = load_settings(overrides=[f"model.residual={str(residual).lower()}"]).model.residual
    assert (kept, type(kept)) == (residual, type(residual))


def test_a_bidirectional_encoder_needs_an_even_hidden_size() -> None:
    with pytest.raises(ValidationError, match="hidden_size must be even for a bidirectional encoder, found 5"):
        ModelSettings(hidden_size=5)
    assert ModelSettings(hidden_size=5, bidirectional=False).hidden_size == 5
    assert ModelSettings(hidden_size=5, kind="lm").hidden_size == 5


def test_heads_divide_what_they_read_and_what_asks_them() -> None:
    for sizes, found in (({"decoder_size": 10}, (512, 10)), ({"encoder_size": 10}, (10, 512))):
        message = (
            "attention_heads = 4 cuts outputs of the encoder and states of the decoder into equal parts: expected a "
            f"number that divides both, found encoder_size = {found[0]} and decoder_size = {found[1]}"
        )
        with pytest.raises(ValidationError, match=message):
            ModelSettings.model_validate({"attention_heads": 4, **sizes})
    assert ModelSettings(attention_heads=4, encoder_size=12, decoder_size=8).attention_heads == 4
    assert ModelSettings(attention_heads=4, hidden_size=6, kind="lm").attention_heads == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"decoder_init": "zeros"},
            'attention = "none" with decoder_init = "zeros" lets the decoder know nothing of the source: set '
            'decoder_init = "bridge" or "copy", or another attention',
        ),
        (
            {"input_feeding": True},
            'input_feeding = true feeds what attention has read, but attention = "none" reads nothing: set '
            "input_feeding = false, or another attention",
        ),
        (
            {"decoder_init": "copy", "encoder_layers": 3},
            'decoder_init = "copy" gives each layer of the decoder the state of one of the encoder: it needs as many '
            "of both, found encoder_layers = 3 and decoder_layers = 1",
        ),
    ],
)
def test_a_decoder_without_attention_has_to_start_from_what_there_is(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=f"{re.escape(message)} "):
        ModelSettings.model_validate({"attention": "none", **changes})
    assert ModelSettings.model_validate({"kind": "lm", "attention": "none", **changes}).kind == "lm"


def test_a_coverage_penalty_needs_attention() -> None:
    message = (
        'search.coverage_penalty asks how much was read of each source position, but model.attention = "none" reads '
        "none: set search.coverage_penalty = 0, found 0.2"
    )
    with pytest.raises(ValidationError, match=re.escape(message)):
        Settings.model_validate({"model": {"attention": "none"}, "search": {"coverage_penalty": 0.2}})


def test_tying_all_embeddings_needs_a_joint_vocabulary() -> None:
    separate = TokenizerSettings(joint=False)
    with pytest.raises(ValidationError, match=r'tied_embeddings = "all" needs tokenizer.joint = true'):
        Settings(tokenizer=separate, model=ModelSettings(tied_embeddings="all"))
    assert Settings(tokenizer=separate, model=ModelSettings(tied_embeddings="target")).model.tied_embeddings == "target"


def test_r_drop_needs_the_full_objective() -> None:
    message = r'training\.r_drop compares whole distributions: it needs training\.objective = "full"$'
    with pytest.raises(ValidationError) as refused:
        Settings(training=TrainingSettings(r_drop=1.0, objective="sampled"))
    (error,) = refused.value.errors()
    assert re.search(message, error["msg"])
    assert Settings(training=TrainingSettings(r_drop=1.0)).training.r_drop == 1.0
    assert Settings(training=TrainingSettings(objective="sampled")).training.r_drop == 0.0


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
def test_what_is_no_subword_cannot_be_cut_anew(kind: Literal["word", "char", "byte"]) -> None:
    with pytest.raises(ValidationError, match=rf'it needs a tokenizer of the kind unigram or bpe, found .*"{kind}"'):
        Settings(tokenizer=TokenizerSettings(kind=kind), training=TrainingSettings(subword_sampling=0.1))
    assert Settings(tokenizer=TokenizerSettings(kind=kind)).training.subword_sampling == 0.0


@pytest.mark.parametrize("betas", [(0.9, 1.0), (-0.1, 0.98)])
def test_adam_betas_lie_between_0_and_1(betas: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="betas"):
        TrainingSettings(betas=betas)


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), 0.0, -1.0])
def test_the_learning_rate_is_a_positive_finite_number(rate: float) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        TrainingSettings(learning_rate=rate)


@pytest.mark.parametrize("name", ["encoder_dropout", "decoder_dropout"])
@pytest.mark.parametrize("value", [1.0, -0.1, "some", (0.1, 1.0), [[0.1]]])
def test_dropout_between_layers_is_a_rate_or_a_list_of_rates(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match="expected a rate from 0 to below 1, or a list of such rates "):
        ModelSettings.model_validate({name: value})


@pytest.mark.parametrize("name", ["dropout", "embedding_dropout", "readout_dropout", "recurrent_dropout"])
@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_dropout_rate_lies_between_0_and_1(name: str, rate: float) -> None:
    with pytest.raises(ValidationError, match=f"^1 validation error for ModelSettings\n{name}\n"):
        ModelSettings.model_validate({name: rate})


def test_a_list_of_dropout_rates_has_one_for_every_layer_but_the_first() -> None:
    assert ModelSettings(encoder_layers=3, encoder_dropout=(0.1, 0.2)).encoder_dropout == (0.1, 0.2)
    assert ModelSettings(decoder_layers=1, decoder_dropout=()).decoder_dropout == ()
    message = "decoder_dropout lists 3, expected 2: a rate for every layer but the first of decoder_layers = 3"
    with pytest.raises(ValidationError, match=message):
        ModelSettings(decoder_layers=3, decoder_dropout=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_only_vectors_that_are_there_can_be_frozen(side: str) -> None:
    with pytest.raises(ValidationError, match=f"freeze_{side}_vectors = true needs the file of {side}_vectors"):
        ModelSettings.model_validate({f"freeze_{side}_vectors": True})


@pytest.mark.parametrize("setting", [{"src_vectors": "a.vec"}, {"freeze_src_vectors": True}])
def test_a_language_model_takes_no_vectors_of_a_source(setting: dict[str, object]) -> None:
    message = "a language model has no source: its word vectors are tgt_vectors, not src_vectors"
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate({"kind": "lm", **setting})


def vectors_of(*, joint: bool = True, **model: object) -> Settings:
    return Settings.model_validate({"tokenizer": {"joint": joint}, "model": model})


def test_frozen_vectors_need_a_table_that_is_not_the_output_layers() -> None:
    src = {"src_vectors": "a.vec", "freeze_src_vectors": True}
    needed = "_vectors = true needs a table that is not the output layer's, which has to learn: set "
    message = f'model.freeze_src{needed}model.tied_embeddings = "target" or "none", found "auto"'
    with pytest.raises(ValidationError, match=message):
        vectors_of(**src)
    assert vectors_of(**src, joint=False).model.freeze_src_vectors
    assert vectors_of(**src, tied_embeddings="target").model.freeze_src_vectors
    tgt = {"tgt_vectors": "a.vec", "freeze_tgt_vectors": True}
    for kind in ("translation", "lm"):
        message = f'model.freeze_tgt{needed}model.tied_embeddings = "none", found "target"'
        with pytest.raises(ValidationError, match=message):
            vectors_of(**tgt, kind=kind, tied_embeddings="target")
        assert vectors_of(**tgt, kind=kind, tied_embeddings="none").model.freeze_tgt_vectors


def test_one_table_starts_from_one_file() -> None:
    message = (
        r"source and target share one table, but model.src_vectors is a\.vec and model\.tgt_vectors b\.vec: name one "
        r'file, or set model\.tied_embeddings = "target"'
    )
    with pytest.raises(ValidationError, match=message):
        vectors_of(src_vectors="a.vec", tgt_vectors="b.vec")
    assert vectors_of(src_vectors="a.vec", tgt_vectors="a.vec").model.tgt_vectors == Path("a.vec")
    assert vectors_of(src_vectors="a.vec", tgt_vectors="b.vec", joint=False).model.tgt_vectors == Path("b.vec")


def test_tying_depends_on_the_vocabulary_only_if_it_is_left_open() -> None:
    assert [ModelSettings().tying(joint=joint) for joint in (True, False)] == ["all", "target"]
    assert [ModelSettings(tied_embeddings="none").tying(joint=joint) for joint in (True, False)] == ["none", "none"]


@pytest.mark.parametrize(
    "settings",
    [
        {"attention": "dot", "encoder_size": 6, "decoder_size": 4, "encoder_layers": 2},
        {"decoder_init": "copy", "encoder_size": 6, "encoder_layers": 2, "decoder_layers": 1},
        {"attention": "none", "decoder_init": "zeros", "encoder_layers": 2},
    ],
)
def test_a_list_of_another_length_is_refused_before_what_else_does_not_fit(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="encoder_dropout lists 2, expected 1"):
        ModelSettings.model_validate({**settings, "encoder_dropout": [0.1, 0.2]})


def test_what_cannot_be_copied_is_refused_before_dot_products() -> None:
    with pytest.raises(ValidationError, match="gives the decoder the state of the encoder"):
        ModelSettings(attention="dot", decoder_init="copy", encoder_size=6, decoder_size=4, encoder_layers=1)
