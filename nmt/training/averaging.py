"""The mean of a run's last checkpoints, as a model of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from torch import Tensor, nn

from nmt.config import Settings
from nmt.errors import ModelError
from nmt.io.files import sha256
from nmt.models.build import count_parameters
from nmt.models.devices import choose_device, choose_training_precision, prepare_for_search
from nmt.models.folder import (
    CARD,
    Vocabularies,
    build_either,
    check_hashes,
    load_tensors,
    read_settings,
    refuse_more_than_is_there,
    refuse_used,
    write_model,
)
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, PreparedText
from nmt.text.tokenizer import load_tokenizers, tokenizer_files
from nmt.training.checkpoint import checkpoint_step, list_checkpoints, read_weights
from nmt.training.language_modelling import validate_text
from nmt.training.observers import Scores
from nmt.training.translation import validate_sets


@dataclass(frozen=True)
class Average:
    """What was averaged, and how good it is."""

    steps: tuple[int, ...]
    """The steps of the checkpoints, oldest first."""
    parameters: int
    scores: Scores | None
    """None: not validated."""


def average_run(
    model_dir: Path, out_dir: Path, *, last: int | None, data: PreparedData | PreparedText | None
) -> Average:
    """Write the average of a run's checkpoints to a new model folder (Junczys-Dowmunt et al., 2016).

    Args:
        model_dir: The folder of the run.
        out_dir: A folder that is new or empty; it appears when all is done.
        last: How many of the newest checkpoints, at least 1, or as many as there are; None: all. That of step 0 never
            counts.
        data: Prepared data to validate the average on; None: it is not validated.

    Raises:
        ModelError: There are no checkpoints, one is damaged, or the folders cannot be used.
    """
    if not model_dir.is_dir():
        raise ModelError(f"model folder {model_dir} does not exist")
    _newest(model_dir, last)
    refuse_used(out_dir)
    if (model_dir / CARD).exists():
        check_hashes(model_dir, [path.name for path in tokenizer_files(model_dir)])
    settings, tokenizers = read_settings(model_dir), load_tokenizers(model_dir)
    sizes = Vocabularies.of(tokenizers)
    if data is not None:
        _refuse_other_data(data, model_dir, settings)
    refuse_more_than_is_there(_newest(model_dir, last)[-1], settings, sizes)
    model = build_either(settings.model, sizes, seed=settings.training.seed)
    checkpoints = _average_newest(model, model_dir, last)
    average = Average(tuple(map(checkpoint_step, checkpoints)), count_parameters(model), None)
    summary: dict[str, object] = {"averaged_steps": list(average.steps), "parameters": average.parameters}
    if data is not None:
        scores = _validate(model, data, settings)
        average, summary = replace(average, scores=scores), {**summary, **scores.summary()}
    write_model(model, out_dir, settings=settings, tokenizers=tokenizers, summary=summary)
    return average


def average_into(model: nn.Module, checkpoints: Sequence[Path]) -> None:
    """Give the model the mean of the weights of some checkpoints (Vaswani et al., 2017, sec. 6.1).

    The sum is taken in float64, with one checkpoint in memory at a time.

    Raises:
        ModelError: A checkpoint is damaged, or its weights do not fit the model.
    """
    sums: dict[str, Tensor] = {}
    for path in checkpoints:
        load_tensors(model, read_weights(path), where=path)
        for name, parameter in model.named_parameters():
            weights = parameter.detach()
            sums[name] = sums[name].add_(weights) if name in sums else weights.double()
    means = {name: total.div_(len(checkpoints)) for name, total in sums.items()}
    load_tensors(model, means, where=checkpoints[-1])


def checkpoints_to_average(model_dir: Path) -> list[Path]:
    """List the checkpoints of a run that have learnt something, oldest first."""
    return [path for path in list_checkpoints(model_dir) if checkpoint_step(path) > 0]


def _newest(model_dir: Path, last: int | None) -> list[Path]:
    checkpoints = checkpoints_to_average(model_dir)
    if not checkpoints:
        raise ModelError(f"{model_dir} holds no checkpoints to average")
    return checkpoints if last is None else checkpoints[-last:]


def _average_newest(model: nn.Module, model_dir: Path, last: int | None) -> list[Path]:
    """Average the newest checkpoints, and return which they are.

    A training may remove one meanwhile for a newer one: then all are read again.
    """
    checkpoints = _newest(model_dir, last)
    try:
        average_into(model, checkpoints)
    except ModelError:
        if all(path.exists() for path in checkpoints):
            raise
        return _average_newest(model, model_dir, last)
    return checkpoints


def _refuse_other_data(data: PreparedData | PreparedText, model_dir: Path, settings: Settings) -> None:
    kind, found, wanted = settings.model.kind, "text", "pairs"
    if kind == "lm":
        found, wanted = wanted, found
    if kind != data.settings.model.kind:  # both kinds of data may have the same tokenizer
        raise ModelError(f"{data.folder} holds {found}, but the model in {model_dir} is validated on {wanted}")
    ours, theirs = ({path.name: sha256(path) for path in tokenizer_files(f)} for f in (model_dir, data.folder))
    if ours != theirs:
        raise ModelError(f"{data.folder} was prepared with other tokenizers than those of {model_dir}")


def _validate(model: Seq2Seq | LanguageModel, data: PreparedData | PreparedText, settings: Settings) -> Scores:
    device = choose_device("auto")  # the run may have been made on another machine
    prepare_for_search(device)
    precision = choose_training_precision(settings.training.precision, device)
    if isinstance(model, LanguageModel):
        assert isinstance(data, PreparedText)
        found = validate_text(model.to(device), data.valid, precision, stop=Event())
    else:
        assert isinstance(data, PreparedData)
        found = validate_sets(model.to(device), data, settings, precision, stop=Event())
    assert found is not None  # nobody asks it to stop
    return found
