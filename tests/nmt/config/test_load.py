import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmt.config import Settings, load_settings, parse_settings, to_toml
from nmt.config.load import check_kind, fit_settings, parse_override, read_recipe, setting_names, to_tree
from nmt.config.training import seconds_of
from nmt.errors import ConfigError
from nmt.prepare.inputs import find_pairs


def recipe(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(message: str) -> "pytest.RaisesExc[ConfigError]":
    return pytest.raises(ConfigError, match=f"^{re.escape(message)}$")


def test_nothing_given_means_the_defaults() -> None:
    assert load_settings() == Settings()


def test_override_beats_recipe_beats_base(tmp_path: Path) -> None:
    base = load_settings(overrides=["training.seed=1", "model.dropout=0.1", "search.beam_size=1"])
    path = recipe(tmp_path, "[training]\nseed = 2\n[model]\ndropout = 0.2\n")
    settings = load_settings(path, ["training.seed=3"], base=base)
    assert (settings.training.seed, settings.model.dropout, settings.search.beam_size) == (3, 0.2, 1)


def test_the_last_of_equal_overrides_wins() -> None:
    assert load_settings(overrides=["training.seed=3", "training.seed=4"]).training.seed == 4


def test_the_data_root_of_a_recipe_counts_from_the_recipe(tmp_path: Path) -> None:
    path = recipe(tmp_path, '[data]\nroot = "corpus"\n')
    assert load_settings(path).data.root == tmp_path / "corpus"
    assert load_settings(path, ["data.root=corpus"]).data.root == Path("corpus")


def test_the_word_vectors_of_a_recipe_count_from_the_recipe(tmp_path: Path) -> None:
    path = recipe(tmp_path, '[model]\nsrc_vectors = "src.vec"\ntgt_vectors = "/all/tgt.vec"\n')
    model = load_settings(path, ["model.tied_embeddings=none"]).model
    assert (model.src_vectors, model.tgt_vectors) == (tmp_path / "src.vec", Path("/all/tgt.vec"))
    model = load_settings(path, ["model.tied_embeddings=none", "model.src_vectors=a/src.vec"]).model
    assert model.src_vectors == Path("a/src.vec")


def test_stored_settings_keep_the_paths_of_word_vectors(tmp_path: Path) -> None:
    stored = to_toml(load_settings(recipe(tmp_path, '[model]\ntgt_vectors = "tgt.vec"\n')))
    assert parse_settings(stored, where="config.toml").model.tgt_vectors == tmp_path / "tgt.vec"
    assert parse_settings('[model]\ntgt_vectors = "tgt.vec"\n', where="config.toml").model.tgt_vectors == Path(
        "tgt.vec"
    )


def test_stored_settings_of_before_read_text_as_it_was_read_then() -> None:
    assert not parse_settings("", where="config.toml").data.clean_invisible
    assert parse_settings(to_toml(load_settings()), where="config.toml").data.clean_invisible
    with refused("config.toml: [data] must be a table of settings, found 1"):
        parse_settings("data = 1", where="config.toml")


def test_without_a_data_root_text_counts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here/pairs.tsv", "there/pairs.tsv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("a\tb\n")
    monkeypatch.chdir(tmp_path / "here")
    path = recipe(tmp_path / "there", '[data]\ntrain_tsv = ["pairs.tsv"]\n')
    overrides = ['data.valid_src="pairs.tsv"', 'data.valid_tgt="pairs.tsv"']
    for root, folder in ((None, "here"), (".", "there")):
        path.write_text(f"{path.read_text()}root = '{root}'\n" if root else path.read_text())
        named = find_pairs(load_settings(path, overrides).data).named
        assert {file.resolve() for _, files in named for file in files} == {tmp_path / folder / "pairs.tsv"}


def test_an_absolute_data_root_is_kept(tmp_path: Path) -> None:
    path = recipe(tmp_path, '[data]\nroot = "/corpus"\n')
    assert load_settings(path).data.root == Path("/corpus")


def test_only_what_was_set_is_in_the_short_tree() -> None:
    settings = load_settings(overrides=["model.cell=gru", "training.seed=1"])
    assert to_tree(settings) == {"model": {"cell": "gru"}, "training": {"seed": 1}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("training.seed=7", 7),
        ("model.dropout=0.5", 0.5),
        ("model.bidirectional=false", False),
        ("model.cell=gru", "gru"),
        ('model.cell="gru"', "gru"),
        ("data.train_src=['a.en', 'b.en']", ["a.en", "b.en"]),
        ("data.root=2024-01-01", "2024-01-01"),
        ("data.root=a=b", "a=b"),
        ("data.root=", ""),
    ],
)
def test_an_override_value_is_toml_or_else_text(text: str, value: object) -> None:
    section, key = text.partition("=")[0].split(".")
    assert parse_override(text) == {section: {key: value}}


@pytest.mark.parametrize("text", ["training.seed", "seed=7", "training.=7", ".seed=7", "=", ""])
def test_an_override_needs_section_key_and_value(text: str) -> None:
    with refused(f"--set {text}: expected section.key=value, for example training.seed=7"):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.sead=7", "unknown setting training.sead; did you mean training.seed?"),
        ("training.wamup=7", "unknown setting training.wamup; did you mean training.warmup_steps?"),
        ("model.vocab_size=7", "unknown setting model.vocab_size; did you mean tokenizer.vocab_size?"),
        ("modle.cell=gru", "unknown section [modle]; did you mean model?"),
        ("training.learning.rate=1", "unknown setting training.learning.rate; did you mean training.learning_rate?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_right_one(text: str, message: str) -> None:
    with refused(f"--set: {message}"):
        load_settings(overrides=[text])


@pytest.mark.parametrize("name", ["training.init_from", "model.q", "search.pretrained", "data.zzz"])
def test_a_name_like_no_other_gets_no_suggestion(name: str) -> None:
    with refused(f"--set: unknown setting {name}"):
        load_settings(overrides=[f"{name}=1"])


def test_a_section_like_no_other_gets_no_suggestion() -> None:
    with refused("--set: unknown section [zzz]"):
        load_settings(overrides=["zzz.q=1"])


def test_a_name_that_is_near_one_of_another_section_is_suggested() -> None:
    with refused("--set: unknown setting search.drop_duplicate; did you mean data.drop_duplicates?"):
        load_settings(overrides=["search.drop_duplicate=1"])


@pytest.mark.parametrize(
    ("time", "seconds"), [("", 0), ("90s", 90), ("20m", 1200), ("2h", 7200), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_a_time_is_hours_minutes_and_seconds(time: str, seconds: int) -> None:
    assert seconds_of(time) == seconds
    assert load_settings(overrides=[f"training.time={time}"]).training.time == time


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nsead = 7", "unknown setting training.sead; did you mean training.seed?"),
        ("[modle]", "unknown section [modle]; did you mean model?"),
        ("model = 3", "[model] must be a table of settings, found 3"),
        ("[[model]]", "[model] must be a table of settings, found [{}]"),
        (
            "[training]\nlog_every = 'tenths'",
            "training.log_every: expected a number of steps, 1 or more, or \"tenth\", found 'tenths'",
        ),
        ("[training]\nlog_every = 0", 'training.log_every: expected a number of steps, 1 or more, or "tenth", found 0'),
        ("[training]\ntime = '20'", 'training.time: expected a time such as "20m", "90s" or "1h30m", found \'20\''),
        ("[training]\ntime = 20", 'training.time: expected a time such as "20m", "90s" or "1h30m", found 20'),
        (
            "[training]\ntime = '1000000h'",
            'training.time: expected a time such as "20m", "90s" or "1h30m", found \'1000000h\'',
        ),
        ("[training]\ntime = '0m'", 'training.time: expected a time such as "20m", "90s" or "1h30m", found \'0m\''),
        ("[training]\nseed = -1", "training.seed = -1: input should be greater than or equal to 0"),
        ("[training]\noptimizer = 'adamm'", "training.optimizer = 'adamm': input should be 'adam', 'adamw' or 'sgd'"),
        (
            "[model]\ncell = 'ssru'\nrecurrent_dropout = 0.1",
            'model: recurrent_dropout must be 0 for cell "ssru", which has no recurrent weights, found 0.1',
        ),
        (
            "[model]\nresidual = -1",
            "model.residual: expected true, false or the number of a layer, 1 or more, found -1",
        ),
        (
            "[tokenizer]\ntgt_vocab_size = 'auto'",
            "tokenizer.tgt_vocab_size: expected a number of pieces, 16 or more, found 'auto'",
        ),
        ("[model]\nbidirectional = 'frist'", "model.bidirectional: expected true, false or \"first\", found 'frist'"),
        (
            "[model]\nencoder_size = 7\nbidirectional = 'first'",
            "model: encoder_size must be even for a bidirectional encoder, found 7",
        ),
        (
            "[model]\nattention = 'scaled_dot'\ndecoder_size = 6",
            'model: attention = "scaled_dot" multiplies states of the decoder with outputs of the encoder: expected '
            'them to be as wide, or "general" or "additive", found encoder_size = 512 and decoder_size = 6',
        ),
        (
            "[model]\ndecoder_init = 'copy'\nencoder_layers = 1\nencoder_size = 6\ndecoder_size = 8",
            'model: decoder_init = "copy" gives the decoder the state of the encoder: expected them to be as wide, '
            "found an encoder of 6 cells and a decoder of 8",
        ),
        (
            "[model]\ndecoder_init = 'copy'\nencoder_layers = 1\nencoder_cell = 'gru'",
            'model: decoder_init = "copy" gives the decoder the state of the encoder: expected cells whose states have '
            'the same parts and bounds, found "gru" and "lstm"',
        ),
        (
            "[model]\nkind = 'lm'\ndecoder_cell = 'ssru'\nrecurrent_dropout = 0.1",
            'model: recurrent_dropout must be 0 for cell "ssru", which has no recurrent weights, found 0.1',
        ),
        (
            "[model]\ninit = 'uniform'",
            'model: init = "uniform" draws all weights within plus and minus init_range: expected one above 0, found 0',
        ),
        ("[model]\nhidden_size = 5", "model: hidden_size must be even for a bidirectional encoder, found 5"),
        (
            "[model]\nencoder_layers = 3\nencoder_dropout = [0.1]",
            "model: encoder_dropout lists 1, expected 2: a rate for every layer but the first of encoder_layers = 3",
        ),
        (
            "[model]\ndecoder_dropout = [0.1]",
            "model: decoder_dropout lists 1, expected 0: a rate for every layer but the first of decoder_layers = 1",
        ),
        (
            "[model]\nencoder_dropout = [1.0]",
            "model.encoder_dropout: expected a rate from 0 to below 1, or a list of such rates, found [1.0]",
        ),
        ("[data]\ntrain_src = 'a'", 'data.train_src = \'a\': input should be a list, such as ["one", "two"]'),
        (
            "[model]\ntied_embeddings = 'all'\n[tokenizer]\njoint = false",
            'model.tied_embeddings = "all" needs tokenizer.joint = true; with two vocabularies use "target"',
        ),
    ],
)
def test_what_a_recipe_gets_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = recipe(tmp_path, text)
    with refused(f"{path}: {message}"):
        load_settings(path)


def test_a_wrong_override_value_is_named() -> None:
    with refused(
        "settings: training.seed = 'x': input should be a valid integer, unable to parse string as an integer"
    ):
        load_settings(overrides=["training.seed=x"])


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[model]\ncell = \n")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))} is not valid TOML: .*line 2"):
        read_recipe(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with refused(f"cannot read recipe {tmp_path / 'no.toml'}: No such file or directory"):
        load_settings(tmp_path / "no.toml")


def test_a_recipe_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe")
    with refused(f"recipe {path} is not UTF-8 text"):
        load_settings(path)


def test_stored_settings_name_their_place_when_they_do_not_fit() -> None:
    with refused("m/config.toml: unknown setting model.sell; did you mean model.cell?"):
        parse_settings("[model]\nsell = 1", where="m/config.toml")


def test_every_setting_is_written_and_what_is_not_set_as_a_comment() -> None:
    settings = load_settings(overrides=["data.valid_src=a", "data.valid_tgt=b"])
    text = to_toml(settings)
    sections = {part.partition("]")[0]: part for part in text.removeprefix("[").split("\n\n[")}
    for section, _, key in (name.partition(".") for name in setting_names()):
        value = getattr(getattr(settings, section), key)
        assert f"\n{f'# {key} is not set' if value is None else f'{key} = '}" in sections[section]
    assert parse_settings(text, where="config.toml") == settings


@given(
    rate=st.floats(1e-9, 1e9),
    seed=st.integers(0, 2**62),
    root=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    files=st.lists(st.sampled_from(["a.en", 'b "c".en', "d/é.en.gz"]), max_size=3),
)
def test_what_is_written_is_read_back(rate: float, seed: int, root: str, files: list[str]) -> None:
    settings = Settings.model_validate(
        {"training": {"learning_rate": rate, "seed": seed}, "data": {"root": root, "train_src": files}}
    )
    assert parse_settings(to_toml(settings), where="config.toml") == settings


@pytest.mark.parametrize(
    ("overrides", "between_layers"),
    [
        (["model.encoder_dropout=[0.2, 0.3]"], (0.2, 0.3)),
        (["model.encoder_dropout=[0.2,0]"], (0.2, 0.0)),
        (["model.encoder_dropout=0.2"], 0.2),
        ([], None),
    ],
)
def test_dropout_rates_survive_writing_and_reading(
    overrides: list[str], between_layers: float | tuple[float, ...] | None
) -> None:
    settings = load_settings(overrides=["model.encoder_layers=3", *overrides])
    assert settings.model.encoder_dropout == between_layers
    assert (settings.model.embedding_dropout, settings.model.decoder_dropout) == (None, None)
    assert parse_settings(to_toml(settings), where="config.toml") == settings
    assert load_settings(base=settings) == settings


TEXT, PAIRS = "data.train_text=['a']", "data.train_src=['a']"


@pytest.mark.parametrize("wishes", [[], [PAIRS], [PAIRS, "model.kind=translation"], [TEXT], [TEXT, "model.kind=lm"]])
def test_a_kind_that_is_unset_or_fits_the_text_is_right(wishes: list[str]) -> None:
    check_kind(load_settings(overrides=wishes))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            [TEXT, "model.kind=translation"],
            'model.kind = "translation" learns from pairs, but data.train_text names text for a language model; '
            'set model.kind = "lm", or leave it unset',
        ),
        (
            [PAIRS, "model.kind=lm"],
            'model.kind = "lm" learns from the text of data.train_text, but data.train_src names pairs',
        ),
        (
            ["data.corpora=[{path=['a.tsv']}]", "model.kind=lm"],
            'model.kind = "lm" learns from the text of data.train_text, but data.corpora names pairs',
        ),
        (["model.kind=lm"], 'model.kind = "lm" learns from the text of data.train_text, but it is not set'),
    ],
)
def test_a_kind_that_does_not_fit_the_text_is_refused(wishes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_kind(load_settings(overrides=wishes))


OF_PAIRS, OF_TEXT = Settings(), load_settings(overrides=["model.kind=lm"])


def fitted(*overrides: str, prepared: Settings = OF_TEXT) -> Settings:
    return fit_settings(load_settings(overrides=list(overrides), base=prepared), prepared=prepared)


def test_settings_for_translation_stay_as_they_are() -> None:
    wished = load_settings(overrides=["training.r_drop=1", "training.best_by=bleu"])
    assert fit_settings(wished, prepared=OF_PAIRS) is wished


def test_a_language_model_is_chosen_by_its_loss_and_learns_without_smoothing() -> None:
    training = fitted().training
    assert (training.best_by, training.label_smoothing) == ("loss", 0.0)


def test_smoothing_that_is_wished_for_stays() -> None:
    assert fitted("training.label_smoothing=0.1", "training.best_by=loss").training.label_smoothing == 0.1


def test_fitting_twice_changes_nothing() -> None:
    once = fitted()
    assert fit_settings(once, prepared=OF_TEXT) == once


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("training.r_drop=1.5", r"^training\.r_drop = 1\.5 makes no sense for a language model: .*; leave it unset$"),
        ("training.subword_sampling=0.2", r"^training\.subword_sampling = 0\.2 makes no sense for a language model: "),
        ("training.noise=0.2", r"^training\.noise = 0\.2 makes no sense for a language model: "),
        ("model.input_feeding=true", r"^model\.input_feeding = true makes no sense for a language model: .* attention"),
        ("training.best_by=bleu", r'^training\.best_by = "bleu" needs translations; for a language model leave it'),
    ],
)
def test_what_makes_no_sense_for_a_language_model_is_refused(wish: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(wish)


def test_a_language_model_does_not_learn_from_pairs() -> None:
    with pytest.raises(ConfigError, match=r'^model\.kind = "lm", but the data hold pairs; prepare text with `nmt prep'):
        fitted("model.kind=lm", prepared=OF_PAIRS)


def test_a_translation_model_does_not_learn_from_text() -> None:
    with pytest.raises(ConfigError, match=r'^model\.kind = "translation", but the data hold text; prepare pairs, or'):
        fitted("model.kind=translation")


def test_a_scale_of_the_loss_is_for_one_device() -> None:
    with pytest.raises(ConfigError, match=r"^settings: training\.placement spreads gradients over devices, but "):
        load_settings(overrides=['training.placement={encoder = "cuda:1"}', "training.precision=fp16"])


@pytest.mark.parametrize("value", ['{attention = "cpu"}', '{decoder = "gpu"}', "cpu", '{encoder_0 = "cpu"}'])
def test_parts_and_devices_of_a_placement_are_named_where_one_is_unknown(value: str) -> None:
    parts = "parts (src_embedding, tgt_embedding, encoder, decoder, output) and layers (encoder_1, decoder_1 and so on)"
    expected = f'settings: training.placement: expected a table of {parts}, each with "cpu" or "cuda:N", found'
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)} "):
        load_settings(overrides=[f"training.placement={value}"])
