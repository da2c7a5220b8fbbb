import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nmt.config import Settings, change_settings, load_settings
from nmt.config.choices import CorpusSize
from nmt.errors import ConfigError, ModelError
from nmt.models.folder import CONFIG, WEIGHTS, ModelFolder, load_either, model_tensors, read_vocabularies
from nmt.models.seq2seq import Seq2Seq
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData, PreparedText
from nmt.text.tokenizer import Tokenizer, Tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.text.vocab import EOS
from nmt.training.checkpoint import list_checkpoints
from nmt.training.distributed import Place, Ranks
from nmt.training.inheriting import ASLEEP, inherit
from nmt.training.language_modelling import LanguageTask
from nmt.training.observers import Silence, StepReport
from nmt.training.resolve import resolve_settings
from nmt.training.trainer import train
from nmt.training.translation import TranslationTask

CPU = torch.device("cpu")
TABLE = "src_embedding.table.weight"


class Stopping(Silence):
    """Stops a run at its first record."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def on_step(self, report: StepReport) -> None:
        self.stop.set()


@pytest.fixture(scope="module")
def other_data(toy_text: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """The toy pairs in other pieces, some of which the toy model does not have."""
    folder = tmp_path_factory.mktemp("other") / "data"
    prepare(folder, load_settings(toy_text / "toy.toml", ["tokenizer.kind=bpe", "tokenizer.vocab_size=36"]))
    return PreparedData.open(folder)


def fresh(data: PreparedData, settings: Settings) -> Seq2Seq:
    return TranslationTask(data, settings, Place(CPU, "fp32", Ranks())).model


def weights_of(folder: Path) -> dict[str, Tensor]:
    return model_tensors(load_either(folder, device=CPU)[0])


def born_of(parent: Path, settings: Settings, **changes: object) -> Settings:
    few = {"max_steps": 6, "log_every": 2, "validate_every": 4, "checkpoint_every": 50, "precision": "fp32"}
    return change_settings(settings, "training", {**few, "parent": str(parent), **changes})


def test_a_model_of_the_same_pieces_has_the_weights_of_its_parent(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path
) -> None:
    model, told = fresh(toy_data, toy_settings), list[str]()
    inherit(model, toy_data.tokenizers, toy_settings, toy_model, on_message=told.append)
    expected = weights_of(toy_model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model_tensors(model).items())
    assert told == [f"from {toy_model}: 40 of 40 pieces are known to it"]


def test_a_language_model_has_the_weights_of_its_parent(
    toy_text_data: PreparedText, tmp_path: Path, make_language_model: object
) -> None:
    settings = load_settings(overrides=["model.embedding_size=8", "training.max_steps=1"], base=toy_text_data.settings)
    train(toy_text_data, tmp_path / "parent", settings, observer=Silence(), stop=threading.Event())
    task = LanguageTask(toy_text_data, settings, Place(CPU, "fp32", Ranks()))
    inherit(task.model, task.tokenizers, settings, tmp_path / "parent", on_message=lambda message: None)
    expected = weights_of(tmp_path / "parent")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model_tensors(task.model).items())


def test_of_other_pieces_those_that_both_know_keep_their_rows(
    toy_data: PreparedData, other_data: PreparedData, toy_settings: Settings, toy_model: Path
) -> None:
    models, told = [fresh(other_data, toy_settings) for _ in range(2)], list[str]()
    for model in models:
        inherit(model, other_data.tokenizers, toy_settings, toy_model, on_message=told.append)
    before, (after, again) = weights_of(toy_model), map(model_tensors, models)
    pieces, known = other_data.tokenizers.tgt.pieces, toy_data.tokenizers.tgt.pieces
    common = [piece for piece in pieces if piece in known]
    assert EOS + 1 < len(common) < len(pieces)
    for name in (TABLE, "output.bias"):
        for piece in common:
            assert torch.equal(after[name][pieces.index(piece)], before[name][known.index(piece)])
    new = [index for index, piece in enumerate(pieces) if piece not in known]
    learnt = before[TABLE][[known.index(piece) for piece in common]]
    assert (after[TABLE][new] - learnt.mean(dim=0)).abs().max() < 5 * learnt.std(dim=0).max()
    assert after[TABLE][new].std() > 0.1 * learnt.std()
    assert all(torch.equal(tensor, again[name]) for name, tensor in after.items())
    others = f"{len(new)} others start from the mean and deviation of those of the parent"
    assert told[0] == f"from {toy_model}: {len(common)} of {len(pieces)} pieces are known to it; {others}"


def test_a_piece_that_the_parent_has_not_learnt_wakes_with_the_mean_of_its_biases(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    parent, settings = load_either(toy_model, device=CPU)
    with torch.no_grad():
        parent.output.bias[-1] = ASLEEP
    tokenizers = toy_data.tokenizers
    folder = ModelFolder(
        tmp_path, settings=settings, vocabularies=read_vocabularies(toy_model), tokenizers=tokenizers.files
    )
    folder.create()
    folder.save(parent, {})
    model, expected = fresh(toy_data, toy_settings), parent.output.bias[:-1].detach()
    inherit(model, tokenizers, toy_settings, tmp_path, on_message=lambda message: None)
    torch.testing.assert_close(model.output.bias.detach(), torch.cat([expected, expected.mean()[None]]))


@pytest.mark.parametrize(
    ("section", "values", "problem"),
    [
        (
            "model",
            {"attention_heads": 2},
            r"^model\.attention_heads is 2, but the parent \S+ has 1, so its weights do not",
        ),
        ("model", {"hidden_size": 32}, r"^model\.hidden_size is 32, but the parent \S+ has 64, so its weights do not"),
        ("model", {"cell": "gru"}, r"^model\.cell is 'gru', but the parent \S+ has 'lstm', so its weights do not fit"),
        ("model", {"encoder_layers": 2}, r"^model\.encoder_layers is 2, but the parent \S+ has 1"),
    ],
)
def test_other_layers_are_refused_by_name(
    toy_data: PreparedData,
    toy_settings: Settings,
    toy_model: Path,
    section: str,
    values: dict[str, object],
    problem: str,
) -> None:
    settings = change_settings(toy_settings, section, values)
    with pytest.raises(ConfigError, match=problem):
        inherit(fresh(toy_data, settings), toy_data.tokenizers, settings, toy_model, on_message=print)


def test_dropout_and_how_weights_start_may_differ(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path
) -> None:
    settings = change_settings(toy_settings, "model", {"dropout": 0.4, "readout_dropout": 0.1, "init": "xavier"})
    inherit(fresh(toy_data, settings), toy_data.tokenizers, settings, toy_model, on_message=lambda message: None)


def test_two_tokenizers_do_not_take_the_place_of_one(toy_text: Path, toy_model: Path, tmp_path: Path) -> None:
    prepare(
        tmp_path / "data", load_settings(toy_text / "toy.toml", ["tokenizer.joint=false", "tokenizer.vocab_size=30"])
    )
    data = PreparedData.open(tmp_path / "data")
    settings = data.settings.model_copy(update={"model": load_settings(toy_text / "toy.toml").model})
    with pytest.raises(ConfigError, match=r"has one tokenizer for both sides, but the data were prepared with a token"):
        inherit(fresh(data, settings), data.tokenizers, settings, toy_model, on_message=print)


def test_a_parent_that_is_no_model_is_refused_before_anything_is_written(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty is not a model folder"):
        train(
            toy_data,
            tmp_path / "m",
            born_of(tmp_path / "empty", toy_settings),
            observer=Silence(),
            stop=threading.Event(),
        )
    assert not list_checkpoints(tmp_path / "m")


def test_a_run_goes_on_without_its_parent_as_if_never_stopped_and_its_card_names_it(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(toy_model, parent)
    settings, stopping = born_of(parent, toy_settings), Stopping()
    train(toy_data, tmp_path / "whole", settings, observer=Silence(), stop=threading.Event())
    train(toy_data, tmp_path / "m", settings, observer=stopping, stop=stopping.stop)
    shutil.rmtree(parent)
    train(toy_data, tmp_path / "m", settings, observer=Silence(), stop=threading.Event())
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    [told] = json.loads((tmp_path / "m" / "model.json").read_text())["training"]["parents"]
    of_parent = json.loads((toy_model / "model.json").read_text())
    assert told == {"model": "parent", "sha256": of_parent["sha256"][WEIGHTS][0], "step": of_parent["training"]["step"]}
    train(toy_data, tmp_path / "n", born_of(tmp_path / "m", settings), observer=Silence(), stop=threading.Event())
    names = [one["model"] for one in json.loads((tmp_path / "n" / "model.json").read_text())["training"]["parents"]]
    assert names == ["m", "parent"]


def test_settings_are_those_of_the_parent_but_for_a_gentler_schedule(toy_model: Path, tmp_path: Path) -> None:
    prepared = load_settings(overrides=["data.seed=9", "tokenizer.vocab_size=50"])
    overrides = [f"training.parent={toy_model}", "training.max_epochs=3"]
    settings, changes = resolve_settings(
        prepared, tmp_path, recipe=None, overrides=overrides, corpus=CorpusSize(100, 9000)
    )
    assert (settings.model.hidden_size, settings.training.batch_tokens, settings.data.seed) == (64, 150, 9)
    assert (settings.training.learning_rate, settings.training.warmup_steps) == (0.0025, 60)
    assert (settings.training.validate_every, settings.training.patience, settings.training.max_epochs) == (60, 5, 3)
    reason = "a quarter of the parent's peak: more would forget what the parent knows, unless its text is replayed"
    assert changes[0] == f"unlike the parent: training.learning_rate: 0.01 -> 0.0025, {reason}"
    assert not any("lowercase" in one for one in changes)
    small = change_settings(prepared, "data", {"lowercase": True})
    told = resolve_settings(small, tmp_path, recipe=None, overrides=overrides, corpus=CorpusSize(100, 9000))[1]
    reason = "as the data were prepared, other than those of the parent"
    assert told[-1] == f"unlike the parent: data.lowercase: False -> True, {reason}"
    few = resolve_settings(prepared, tmp_path, recipe=None, overrides=overrides, corpus=CorpusSize(1, 9))[0].training
    assert (few.warmup_steps, few.validate_every) == (1, 50)


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (9000, "150 -> 60, about once an epoch"),
        (1500, "150 -> 50, about once an epoch, but 50 steps at least"),
        (300_000, "150 -> 500, about once an epoch, but 500 steps at most"),
    ],
)
def test_how_often_a_run_validates_is_said_as_it_is(toy_model: Path, tmp_path: Path, pieces: int, told: str) -> None:
    overrides = [f"training.parent={toy_model}"]
    _, changes = resolve_settings(
        load_settings(), tmp_path, recipe=None, overrides=overrides, corpus=CorpusSize(1, pieces)
    )
    assert any(change.endswith(f"validate_every: {told}") for change in changes), changes
    _, changes = resolve_settings(
        load_settings(),
        tmp_path,
        recipe=None,
        overrides=[*overrides, "training.batch_tokens=50"],
        corpus=CorpusSize(100, 9000),
    )
    assert any(change.endswith("-> 60, about once an epoch of the parent's batches") for change in changes)


def test_a_language_model_validates_about_once_an_epoch_of_its_segments(
    toy_language_model: Path, tmp_path: Path
) -> None:
    usual = load_settings().training
    settings, _ = resolve_settings(
        load_settings(overrides=["model.kind=lm"]),
        tmp_path,
        recipe=None,
        overrides=[f"training.parent={toy_language_model}", "training.best_by=loss"],
        corpus=CorpusSize(1, 120 * usual.segment_rows * usual.segment_steps),
    )
    assert settings.training.validate_every == 120


def test_with_other_pieces_the_rate_is_the_parents(toy_data: PreparedData, toy_model: Path, tmp_path: Path) -> None:
    overrides = [f"training.parent={toy_model}"]
    other = Tokenizer(train_tokenizer(["a b"], TokenizerPlan("char", 16)))
    rates = [
        resolve_settings(
            toy_data.settings, tmp_path, recipe=None, overrides=overrides, tokenizers=tokenizers
        )[0].training.learning_rate
        for tokenizers in (toy_data.tokenizers, Tokenizers(other, other))
    ]  # fmt: skip
    assert rates == [0.0025, 0.01]


def test_with_text_of_the_parent_replayed_the_rate_is_the_parents(toy_model: Path, tmp_path: Path) -> None:
    overrides = [f"training.parent={toy_model}"]
    prepared = load_settings(overrides=["data.replay=old"])
    settings, changes = resolve_settings(prepared, tmp_path, recipe=None, overrides=overrides)
    assert settings.training.learning_rate == 0.01
    assert not any("learning_rate" in change for change in changes)


def test_what_is_asked_for_wins_over_the_parent(toy_model: Path, tmp_path: Path) -> None:
    overrides = [f"training.parent={toy_model}", "training.learning_rate=0.5", "model.dropout=0.3"]
    settings, changes = resolve_settings(load_settings(), tmp_path, recipe=None, overrides=overrides)
    assert (settings.training.learning_rate, settings.model.dropout) == (0.5, 0.3)
    assert not any("learning_rate" in change for change in changes)


def test_a_begun_run_does_not_change_its_parent(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    train(toy_data, tmp_path, born_of(toy_model, toy_settings), observer=Silence(), stop=threading.Event())
    assert (tmp_path / CONFIG).read_text().count(f'parent = "{toy_model}"') == 1
    resolve_settings(toy_data.settings, tmp_path, recipe=None, overrides=[])
    with pytest.raises(ConfigError, match=r"training\.parent cannot change .* only a run that begins reads it"):
        resolve_settings(toy_data.settings, tmp_path, recipe=None, overrides=[f"training.parent={tmp_path}"])
    elsewhere = f"training.parent=elsewhere/{toy_model.name}"  # nobody reads it again
    settings, changes = resolve_settings(toy_data.settings, tmp_path, recipe=None, overrides=[elsewhere])
    assert (settings.training.parent, changes) == (toy_model, [])


def test_what_is_frozen_stays_as_the_parent_has_it_over_a_stop_too(
    toy_data: PreparedData, toy_settings: Settings, toy_model: Path, tmp_path: Path
) -> None:
    settings, stopping = born_of(toy_model, toy_settings, freeze=["encoder"], weight_decay=0.1), Stopping()
    train(toy_data, tmp_path / "whole", settings, observer=Silence(), stop=threading.Event())
    train(toy_data, tmp_path / "m", settings, observer=stopping, stop=stopping.stop)
    train(toy_data, tmp_path / "m", settings, observer=Silence(), stop=threading.Event())
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    before, after = weights_of(toy_model), weights_of(tmp_path / "m")
    held = [name for name in before if torch.equal(before[name], after[name])]
    assert held == [name for name in before if name.startswith("encoder.")]


def test_prepared_data_are_no_parent_and_settings_of_one_are_not_altered(
    toy_data: PreparedData, toy_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"holds prepared data, not a model"):
        resolve_settings(toy_data.settings, tmp_path, recipe=None, overrides=[f"training.parent={toy_data.folder}"])
    altered = tmp_path / "altered"
    shutil.copytree(toy_model, altered)
    (altered / CONFIG).write_text((toy_model / CONFIG).read_text() + "\n")
    with pytest.raises(ModelError, match=r"config\.toml has been altered"):
        resolve_settings(toy_data.settings, tmp_path, recipe=None, overrides=[f"training.parent={altered}"])


def test_a_translation_model_is_no_parent_of_a_language_model(
    toy_text_data: PreparedText, toy_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^the parent \S+ is a translation model, but the data hold text$"):
        resolve_settings(toy_text_data.settings, tmp_path, recipe=None, overrides=[f"training.parent={toy_model}"])
