from pathlib import Path

import pytest

from nmt.config import Settings, load_settings, to_toml
from nmt.config.choices import CorpusSize
from nmt.errors import ConfigError
from nmt.text.tokenizer import JOINT_MODEL, Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.training.checkpoint import FOLDER
from nmt.training.resolve import resolve_settings

PREPARED = load_settings(overrides=["data.seed=9", "tokenizer.vocab_size=500"])


def begin_run(model_dir: Path, settings: Settings) -> None:
    (model_dir / FOLDER).mkdir(parents=True)
    (model_dir / FOLDER / "step-00000500.safetensors").touch()
    (model_dir / "config.toml").write_text(to_toml(settings), encoding="utf-8")


def test_a_new_run_takes_data_and_tokenizer_from_the_prepared_folder(tmp_path: Path) -> None:
    settings, changes = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["training.seed=4"])
    assert (settings.data.seed, settings.tokenizer.vocab_size, settings.training.seed) == (9, 500, 4)
    assert changes == []


def test_a_recipe_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer.vocab_size is 700, but the data was prepared with 500"):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["tokenizer.vocab_size=700"])


def test_a_recipe_that_names_other_files_keeps_those_that_were_prepared(tmp_path: Path) -> None:
    settings, _ = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["data.train_src=['elsewhere']"])
    assert settings.data == PREPARED.data


def test_a_begun_run_goes_on_with_its_own_settings(tmp_path: Path) -> None:
    begun, _ = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["model.hidden_size=64"])
    begin_run(tmp_path, begun)
    settings, changes = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[])
    assert settings == begun
    assert changes == []


def test_word_vectors_may_have_moved_since_a_run_began(tmp_path: Path) -> None:
    begin_run(tmp_path, load_settings(overrides=["model.tgt_vectors=old/fr.vec"], base=PREPARED))
    moved = ["model.tgt_vectors=new/fr.vec"]
    settings, changes = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=moved)
    assert (settings.model.tgt_vectors, changes) == (Path("old/fr.vec"), [])
    with pytest.raises(ConfigError, match=r"^model\.tgt_vectors cannot change from 'old/fr\.vec' to 'old/de\.vec'"):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["model.tgt_vectors=old/de.vec"])


def test_checkpoints_without_their_settings_are_refused(tmp_path: Path) -> None:
    begin_run(tmp_path, PREPARED)
    (tmp_path / "config.toml").unlink()
    with pytest.raises(ConfigError, match=r"holds checkpoints, but not the settings of their run: .*config.toml does"):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[])


def test_a_changed_setting_is_listed(tmp_path: Path) -> None:
    begin_run(tmp_path, PREPARED)
    overrides = ["training.learning_rate=0.0005", "training.max_epochs=20"]
    settings, changes = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=overrides)
    assert settings.training.learning_rate == 0.0005
    expected = ["training.learning_rate: 0.002 -> 0.0005", "training.max_epochs: 12 -> 20"]
    assert sorted(changes) == [f"setting changed: {change}" for change in expected]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("model.hidden_size=64", "model.hidden_size cannot change from 512 to 64 .*: the weights depend on it"),
        ("training.seed=2", "training.seed cannot change from 1 to 2 .*: the order of the batches and all random"),
        ("training.optimizer='sgd'", "training.optimizer .*: the state of the optimiser is that of the old one"),
        ("training.subword_sampling=0.1", "training.subword_sampling .*: the batches of an epoch depend on it"),
        ("training.noise=0.1", "training.noise .*: the batches of an epoch depend on it"),
        ("training.noise_kinds=['typos']", "training.noise_kinds .*: the batches of an epoch depend on it"),
        ("training.best_by='loss'", "training.best_by .*: the best score so far is one of the old kind"),
        ("training.bleu_tokenizer=char", "training.bleu_tokenizer .*: the best score so far was computed with the"),
    ],
)
def test_a_change_that_the_run_depends_on_is_refused_with_the_reason(
    tmp_path: Path, override: str, reason: str
) -> None:
    begin_run(tmp_path, PREPARED)
    with pytest.raises(ConfigError, match=f"{reason}.*; use a new folder"):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[override])


@pytest.mark.parametrize(
    "override", ["model.dropout=0.1", "model.word_dropout=0.1", "training.batch_tokens=99", "training.accumulate=2"]
)
def test_a_change_that_fits_the_weights_is_allowed(tmp_path: Path, override: str) -> None:
    begin_run(tmp_path, PREPARED)
    _, changes = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[override])
    assert len(changes) == 1


def test_a_begun_run_keeps_the_rows_that_its_text_is_cut_into(tmp_path: Path) -> None:
    text = load_settings(overrides=["model.kind=lm"], base=PREPARED)
    begun, _ = resolve_settings(text, tmp_path, recipe=None, overrides=[])
    begin_run(tmp_path, begun)
    message = r"training\.segment_rows cannot change from 20 to 10 .*: the text is cut into so many parts; use a new"
    with pytest.raises(ConfigError, match=message):
        resolve_settings(text, tmp_path, recipe=None, overrides=["training.segment_rows=10"])
    settings, changes = resolve_settings(text, tmp_path, recipe=None, overrides=["training.segment_steps=9"])
    assert settings.training.segment_steps == 9
    assert changes == ["setting changed: training.segment_steps: 35 -> 9"]


def test_a_language_model_that_goes_on_is_still_chosen_by_its_loss(tmp_path: Path) -> None:
    text = load_settings(overrides=["model.kind=lm"], base=PREPARED)
    begun, _ = resolve_settings(text, tmp_path, recipe=None, overrides=[])
    assert begun.training.best_by == "loss"
    begin_run(tmp_path, begun)
    assert resolve_settings(text, tmp_path, recipe=None, overrides=[]) == (begun, [])


def test_a_model_of_another_kind_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'model\.kind = "lm", but the data hold pairs'):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=["model.kind=lm"])


OTHER_DATA = (
    r"^the run in .* was begun on other data than these; a run cannot change its data: train on the new data in a new "
    r"folder, or prepare old and new text together and train on both there$"
)


@pytest.mark.parametrize(
    "new",
    [
        [],
        ["tokenizer.file=/models/general"],
        ["tokenizer.vocab_size=500", "data.seed=8"],
        ["tokenizer.vocab_size=500", "data.seed=9", "data.valid_src=b.en", "data.valid_tgt=b.fr"],
    ],
)
def test_a_run_cannot_change_its_data_and_hears_what_to_do(tmp_path: Path, new: list[str]) -> None:
    begin_run(tmp_path, PREPARED)
    with pytest.raises(ConfigError, match=OTHER_DATA):
        resolve_settings(load_settings(overrides=new), tmp_path, recipe=None, overrides=[])


def test_a_run_that_is_to_go_on_with_another_tokenizer_is_told_that_it_is_another(tmp_path: Path) -> None:
    begin_run(tmp_path, PREPARED)
    own, other = (train_tokenizer([text], TokenizerPlan("char", 16)) for text in ("a b c", "a d"))
    (tmp_path / JOINT_MODEL).write_bytes(own)
    ours, theirs = (Tokenizers(one, one) for one in (Tokenizer(own), Tokenizer(other)))
    resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[], tokenizers=ours)
    which = (
        r"than these, with another tokenizer \(joint\.spm\.model, of 8 pieces, 6 of which are among the 7 of theirs\)"
    )
    with pytest.raises(ConfigError, match=which):
        resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[], tokenizers=theirs)
    (tmp_path / JOINT_MODEL).write_bytes(b"damaged")  # and made anew
    resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[], tokenizers=theirs)


def test_a_run_goes_on_where_its_text_has_moved(tmp_path: Path) -> None:
    begin_run(tmp_path, PREPARED)
    moved = load_settings(overrides=["data.root=elsewhere"], base=PREPARED)
    settings, changes = resolve_settings(moved, tmp_path, recipe=None, overrides=[])
    assert settings.data.root == Path("elsewhere")
    assert changes == []


@pytest.mark.parametrize("asked", ["models/general", "./models/x/../general", "/texts/models/general"])
def test_tokenizer_files_are_compared_as_paths(tmp_path: Path, asked: str) -> None:
    prepared = load_settings(overrides=["data.root=/texts", "tokenizer.file=/texts/models/general"])
    overrides = [f"tokenizer.file={asked}", "tokenizer.vocab_size=150"]
    settings, _ = resolve_settings(prepared, tmp_path, recipe=None, overrides=overrides)
    assert settings.tokenizer == prepared.tokenizer


def test_another_tokenizer_file_is_refused(tmp_path: Path) -> None:
    prepared = load_settings(overrides=["data.root=/texts", "tokenizer.file=models/general"])
    with pytest.raises(ConfigError, match=r"^tokenizer\.file is 'models/other', but the data was prepared with 'model"):
        resolve_settings(prepared, tmp_path, recipe=None, overrides=["tokenizer.file=models/other"])


def test_without_a_recipe_a_new_run_has_what_suits_the_corpus_and_keeps_it(tmp_path: Path) -> None:
    settings, lines = resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[], corpus=CorpusSize(1_000, 21_908))
    assert (settings.training.max_epochs, settings.training.batch_tokens) == (60, 640)
    assert lines[0] == "chosen for 1,000 pairs, as there is no recipe; --set wins:"
    assert 5 < len(lines) < 11
    begin_run(tmp_path, settings)
    more = CorpusSize(10**6, 10**7)
    assert resolve_settings(PREPARED, tmp_path, recipe=None, overrides=[], corpus=more) == (settings, [])


def test_a_run_of_a_recipe_or_of_a_language_model_has_nothing_chosen_for_it(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[training]\nseed = 3\n")
    corpus, text = CorpusSize(1_000, 21_908), load_settings(overrides=["model.kind=lm"], base=PREPARED)
    for prepared, recipe in ((PREPARED, tmp_path / "r.toml"), (text, None)):
        settings, lines = resolve_settings(prepared, tmp_path, recipe=recipe, overrides=[], corpus=corpus)
        assert (settings.training.max_epochs, settings.training.batch_tokens, lines) == (12, 800, [])


def test_a_recipe_may_leave_the_size_of_the_vocabulary_to_the_data(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[tokenizer]\nvocab_size = "auto"\n')
    settings, _ = resolve_settings(PREPARED, tmp_path, recipe=tmp_path / "r.toml", overrides=[])
    assert settings.tokenizer.vocab_size == 500
