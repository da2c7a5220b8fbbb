"""One training run from prepared data to a model folder: started, or continued where it stood."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import Optimizer

from nmt.batching import BatchPlan, plan_epoch
from nmt.config import Settings
from nmt.errors import ModelError
from nmt.models.build import build_model, count_parameters
from nmt.models.devices import choose_device, choose_precision, use_threads
from nmt.models.folder import CARD, CONFIG, ModelFolder, Vocabularies
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.prepared.manifest import TRAIN
from nmt.subword import tokenizer_files
from nmt.training.checkpoint import TrainingState, last_checkpoint, load_checkpoint, save_checkpoint
from nmt.training.loop import Observer, StopRequest, Trainer, TrainingPairs, ValidationReport
from nmt.training.objectives import Objective, make_objective
from nmt.training.optim import Schedule, make_optimizer
from nmt.training.records import Records
from nmt.training.validation import Validator


@dataclass(frozen=True)
class TrainingSummary:
    """How a run ended."""

    finished: bool
    """False if it was asked to stop."""
    state: TrainingState
    parameters: int
    padding: float
    """Share of padding among the cells of the first pass."""


def train(
    data: PreparedData, model_dir: Path, settings: Settings, *, observer: Observer, stop: StopRequest
) -> TrainingSummary:
    """Train a model on prepared data into `model_dir`, continuing the run that is there.

    Raises:
        ModelError: The folder holds something else, or a checkpoint that does not fit.
        TrainingError: The loss exploded.
    """
    threads = use_threads(settings.training.threads)
    device = choose_device(settings.training.device)
    precision = choose_precision(settings.training.precision, device)
    model = _new_model(data, settings).to(device)
    plan = _first_plan(data, settings)
    optimizer = make_optimizer(settings.training, model.parameters())
    state = _begin_or_continue(data, model_dir, model, optimizer, observer)
    parameters, schedule = count_parameters(model), _schedule(settings, plan)
    if state.step >= schedule.total_steps:
        limit = "max_steps" if settings.training.max_steps else "max_epochs"
        observer.on_message(f"the run is at its last step already: {state.step:,}; raise training.{limit} to go on")
        return TrainingSummary(True, state, parameters, plan.padding)
    folder = _model_folder(data, model_dir, settings)
    folder.create()
    checkpoint = last_checkpoint(model_dir)
    if not checkpoint.exists():  # from here on the run can be continued
        save_checkpoint(checkpoint, model, optimizer, state)
    observer.on_message(
        f"{parameters:,} parameters, {len(data.train_src):,} pairs, {len(plan.batches):,} batches a pass, "
        f"{plan.padding:.1%} padding, {device.type} {precision}, {threads} threads"
    )

    def save_best(model: Seq2Seq, report: ValidationReport, state: TrainingState) -> None:
        folder.save(model, _summary(report, state, parameters))

    with Records(model_dir, step=state.step, tensorboard=settings.training.tensorboard) as records:
        trainer = Trainer(
            model=model,
            objective=_objective(data, settings, device),
            optimizer=optimizer,
            schedule=schedule,
            pairs=TrainingPairs(data.train_src, data.train_tgt, settings.model.reverse_source),
            settings=settings.training,
            precision=precision,
            state=state,
            checkpoint=checkpoint,
            validate=Validator(data.valid, data.tokenizers, settings, precision),
            save_best=save_best,
            records=records,
            observer=observer,
            stop=stop,
        )
        finished = trainer.run()
    return TrainingSummary(finished, state, parameters, plan.padding)


def _begin_or_continue(
    data: PreparedData, model_dir: Path, model: Seq2Seq, optimizer: Optimizer, observer: Observer
) -> TrainingState:
    checkpoint, pairs = last_checkpoint(model_dir), data.manifest.files[TRAIN].sha256
    if not checkpoint.exists():
        _refuse_foreign(model_dir)
        return TrainingState(data=pairs)
    state = load_checkpoint(checkpoint, model, optimizer)
    if state.data != pairs:
        raise ModelError(f"the run in {model_dir} was begun on other data than {data.folder}; choose another folder")
    observer.on_message(f"continuing {model_dir} at step {state.step:,}")
    return state


def _new_model(data: PreparedData, settings: Settings) -> Seq2Seq:
    return build_model(
        settings.model,
        src_vocab_size=len(data.tokenizers.src),
        tgt_vocab_size=len(data.tokenizers.tgt),
        joint=data.tokenizers.joint,
        seed=settings.training.seed,
    )


def _first_plan(data: PreparedData, settings: Settings) -> BatchPlan:
    return plan_epoch(
        data.train_src.lengths,
        data.train_tgt.lengths,
        batch_tokens=settings.training.batch_tokens,
        seed=settings.training.seed,
        epoch=0,
    )


def _schedule(settings: Settings, plan: BatchPlan) -> Schedule:
    training = settings.training
    total = training.max_steps or training.max_epochs * len(plan.batches)
    return Schedule(training.schedule, training.learning_rate, training.warmup_steps, total)


def _objective(data: PreparedData, settings: Settings, device: torch.device) -> Objective:
    return make_objective(settings.training, data.target_counts, device=device)


def _model_folder(data: PreparedData, model_dir: Path, settings: Settings) -> ModelFolder:
    tokenizers = data.tokenizers
    vocabularies = Vocabularies(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)
    return ModelFolder(model_dir, settings=settings, vocabularies=vocabularies, tokenizers=tokenizer_files(data.folder))


def _refuse_foreign(model_dir: Path) -> None:
    if (model_dir / CARD).exists():
        raise ModelError(f"{model_dir} holds a model without the checkpoint to continue from; choose another folder")
    if model_dir.exists() and not model_dir.is_dir():
        raise ModelError(f"{model_dir} is a file; a model needs a folder")
    if model_dir.is_dir() and not (model_dir / CONFIG).exists() and any(model_dir.iterdir()):
        raise ModelError(f"{model_dir} holds other files; choose a new or empty folder")


def _summary(report: ValidationReport, state: TrainingState, parameters: int) -> dict[str, float]:
    return {
        "step": report.step,
        "valid_loss": report.loss,
        "valid_perplexity": report.perplexity,
        "valid_bleu": report.bleu,
        "target_words": state.tokens,
        "seconds": round(state.seconds, 1),
        "parameters": parameters,
    }
