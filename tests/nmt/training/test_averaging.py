import json
import shutil
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import Tensor

from nmt.config import Settings, load_settings, parse_settings
from nmt.errors import ModelError
from nmt.models.build import build_model, count_parameters
from nmt.models.folder import load_language_model, load_model, read_tensors
from nmt.models.seq2seq import Seq2Seq
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData, PreparedText
from nmt.training.averaging import average_into, average_run
from nmt.training.checkpoint import checkpoint_step, list_checkpoints, read_weights
from nmt.training.language_modelling import validate_text
from nmt.training.observers import Silence
from nmt.training.trainer import train
from nmt.training.translation import Validator
from nmt.translate import Translator

CPU = torch.device("cpu")


@pytest.fixture
def model() -> Seq2Seq:
    settings = load_settings(overrides=["model.embedding_size=4", "model.hidden_size=6", "model.encoder_layers=1"])
    return build_model(settings.model, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=1)


@pytest.fixture
def run(toy_model: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(toy_model, tmp_path / "run"))


def filled(model: Seq2Seq, value: float) -> dict[str, Tensor]:
    return {name: torch.full_like(parameter, value) for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("values", "mean"),
    [((1.0, 2.0), 1.5), ((3.0,), 3.0), ((1e8, 1.0, -1e8), 1 / 3)],  # in float32, 1e8 + 1 is 1e8
)
def test_every_weight_is_the_mean(
    model: Seq2Seq, monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...], mean: float
) -> None:
    files = {Path(f"{number}.safetensors"): value for number, value in enumerate(values)}
    monkeypatch.setattr("nmt.training.averaging.read_weights", lambda path: filled(model, files[path]))
    average_into(model, list(files))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, torch.full_like(parameter, mean)), name
        assert parameter.dtype == torch.float32


def test_weights_that_do_not_fit_name_their_checkpoint(model: Seq2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {**filled(model, 1.0), "output.bias": torch.ones(3)}
    monkeypatch.setattr("nmt.training.averaging.read_weights", lambda path: weights)
    with pytest.raises(ModelError, match=r"^b\.safetensors: weight output\.bias has shape \[3\], expected \[9\]$"):
        average_into(model, [Path("b.safetensors")])


def test_the_average_of_a_run_is_a_model_that_translates(
    toy_model: Path, toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    checkpoints = list_checkpoints(toy_model)[-2:]
    average = average_run(toy_model, tmp_path / "new" / "average", last=2, data=toy_data)
    out = tmp_path / "new" / "average"
    first, second = map(read_weights, checkpoints)
    for name, weight in read_tensors(out / "model.safetensors").items():
        assert torch.equal(weight, ((first[name].double() + second[name].double()) / 2).float()), name
    assert average.steps == tuple(map(checkpoint_step, checkpoints)) == (150, 300)
    assert Translator.load(out, device="cpu").translate(["bat cow den"])[0][0].text == "bato cowo deno"
    loaded, settings = load_model(out, device=CPU)
    assert settings == parse_settings((toy_model / "config.toml").read_text(), where="the run")
    assert average.parameters == count_parameters(loaded)
    scores = Validator(toy_data.valid, toy_data.tokenizers, toy_settings, "fp32")(loaded, stop=Event())
    assert average.scores is not None
    assert scores is not None
    assert (average.scores.loss, average.scores.bleu) == pytest.approx((scores.loss, scores.bleu))
    assert average.scores.perplexity == pytest.approx(2.718281828459045**average.scores.loss)
    assert average.scores.bleu > 90


def test_the_summary_says_what_was_averaged(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    average = average_run(toy_model, tmp_path / "a", last=2, data=None)
    summary = json.loads((tmp_path / "a" / "model.json").read_text())["training"]
    assert summary == {"averaged_steps": [150, 300], "parameters": average.parameters}
    assert average.scores is None
    average = average_run(toy_model, tmp_path / "b", last=2, data=toy_data)
    assert average.scores is not None
    summary = json.loads((tmp_path / "b" / "model.json").read_text())["training"]
    assert summary["valid_loss"] == average.scores.loss
    assert summary["valid_perplexity"] == average.scores.perplexity
    assert summary["valid_bleu"] == average.scores.bleu
    assert summary["valid_bleu_signature"] == average.scores.signature
    assert "|tok:13a|" in summary["valid_bleu_signature"]


def test_without_a_number_all_checkpoints_are_averaged(toy_model: Path, tmp_path: Path) -> None:
    assert average_run(toy_model, tmp_path / "out", last=None, data=None).steps == (150, 300)


def test_a_checkpoint_from_before_the_first_step_is_left_out(run: Path, tmp_path: Path) -> None:
    newest = list_checkpoints(run)[-1]
    shutil.copy(newest, newest.with_name("step-00000000.safetensors"))
    assert average_run(run, tmp_path / "out", last=None, data=None).steps == (150, 300)
    assert average_run(run, tmp_path / "more", last=3, data=None).steps == (150, 300)


def test_the_average_of_one_checkpoint_is_that_checkpoint(toy_model: Path, tmp_path: Path) -> None:
    assert average_run(toy_model, tmp_path / "out", last=1, data=None).steps == (300,)
    weights = read_weights(list_checkpoints(toy_model)[-1])
    for name, weight in read_tensors(tmp_path / "out" / "model.safetensors").items():
        assert torch.equal(weight, weights[name]), name


def test_a_run_that_has_not_been_validated_can_be_averaged(run: Path, tmp_path: Path) -> None:
    (run / "model.json").unlink()
    (run / "model.safetensors").unlink()
    average_run(run, tmp_path / "out", last=2, data=None)
    assert Translator.load(tmp_path / "out", device="cpu").translate(["bat"])[0][0].text == "bato"


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere does not exist"):
        average_run(tmp_path / "nowhere", tmp_path / "out", last=None, data=None)


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{tmp_path} holds no checkpoints to average$"):
        average_run(tmp_path, tmp_path / "out", last=None, data=None)


def test_an_occupied_folder_is_left_as_it_is(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("mine")
    with pytest.raises(ModelError, match="out holds files already; choose a new or empty folder"):
        average_run(toy_model, tmp_path / "out", last=None, data=None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes"]
    with pytest.raises(ModelError, match="notes is a file; a model needs a folder"):
        average_run(toy_model, tmp_path / "out" / "notes", last=None, data=None)


def test_an_empty_folder_is_filled(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    average_run(toy_model, tmp_path / "out", last=1, data=None)
    load_model(tmp_path / "out", device=CPU)


def test_a_damaged_checkpoint_is_named_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    first = list_checkpoints(run)[-2]
    first.write_bytes(first.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{first.name}\b.* is damaged"):
        average_run(run, tmp_path / "out", last=2, data=None)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_a_training_removes_meanwhile_is_not_averaged(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, *others = (path for path in list_checkpoints(run) if checkpoint_step(path) > 0)

    def read(path: Path) -> dict[str, Tensor]:
        oldest.unlink(missing_ok=True)
        return read_weights(path)

    monkeypatch.setattr("nmt.training.averaging.read_weights", read)
    average = average_run(run, tmp_path / "mean", last=None, data=None)
    assert average.steps == tuple(map(checkpoint_step, others))


def test_an_altered_tokenizer_is_refused(run: Path, tmp_path: Path) -> None:
    tokenizer = run / "joint.spm.model"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"joint\.spm\.model has been altered"):
        average_run(run, tmp_path / "out", last=None, data=None)


def test_data_with_other_tokenizers_are_refused(toy_model: Path, toy_settings: Settings, tmp_path: Path) -> None:
    tokenizer = toy_settings.tokenizer.model_copy(update={"vocab_size": 30})
    prepare(tmp_path / "data", toy_settings.model_copy(update={"tokenizer": tokenizer}))
    data = PreparedData.open(tmp_path / "data")
    with pytest.raises(ModelError, match=r"data was prepared with other tokenizers than those of .*toy"):
        average_run(toy_model, tmp_path / "out", last=None, data=data)
    assert not (tmp_path / "out").exists()


def test_a_language_model_is_averaged_too(
    counting_data: PreparedText, counting_settings: Settings, tmp_path: Path
) -> None:
    training = counting_settings.training.model_copy(update={"max_epochs": 1})
    settings = counting_settings.model_copy(update={"training": training})
    train(counting_data, tmp_path / "run", settings, observer=Silence(), stop=Event())
    average = average_run(tmp_path / "run", tmp_path / "out", last=2, data=counting_data)
    loaded, _ = load_language_model(tmp_path / "out", device=torch.device("cpu"))
    scores = validate_text(loaded, counting_data.valid, "fp32", stop=Event())
    assert average.scores is not None
    assert scores is not None
    assert average.scores.loss == pytest.approx(scores.loss)
    summary = json.loads((tmp_path / "out" / "model.json").read_text())["training"]
    assert summary["valid_perplexity"] == average.scores.perplexity
    assert "valid_bleu" not in summary


def test_pairs_do_not_validate_the_average_of_a_language_model(
    counting_data: PreparedText, counting_settings: Settings, toy_data: PreparedData, tmp_path: Path
) -> None:
    training = counting_settings.training.model_copy(update={"max_steps": 20})
    settings = counting_settings.model_copy(update={"training": training})
    train(counting_data, tmp_path / "run", settings, observer=Silence(), stop=Event())
    with pytest.raises(ModelError, match=r"holds pairs, but the model in .*run is validated on text$"):
        average_run(tmp_path / "run", tmp_path / "out", last=None, data=toy_data)


def test_text_does_not_validate_the_average_of_a_translation_model_even_if_it_is_cut_alike(
    toy_model: Path, counting_text: Path, tmp_path: Path
) -> None:
    texts = [f"data.train_text=['{counting_text / 'train.txt'}']", f"data.valid_text={counting_text / 'valid.txt'}"]
    prepare(tmp_path / "text", load_settings(overrides=[*texts, f"tokenizer.file={toy_model}"]))
    with pytest.raises(ModelError, match=r"text holds text, but the model in .*toy is validated on pairs$"):
        average_run(toy_model, tmp_path / "out", last=None, data=PreparedText.open(tmp_path / "text"))


def test_settings_that_no_checkpoint_could_hold_are_refused_before_a_model_is_made(run: Path, tmp_path: Path) -> None:
    config = run / "config.toml"
    config.write_text(config.read_text().replace("hidden_size = 64", "hidden_size = 1000000"))
    with pytest.raises(ModelError, match=r"bytes, but a model of 40 pieces and 2 layers, as its vocabularies and"):
        average_run(run, tmp_path / "average", last=None, data=None)
