"""Settings of the training."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from nmt.config.section import Expected, Rate, Section
from nmt.text.noises import NOISES

if TYPE_CHECKING:
    NoiseKind = str
else:
    NoiseKind = Literal[tuple(NOISES)]

BleuTokenizer = Literal[
    "13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "spm", "flores101", "flores200", "spBLEU-1K", "none"
]
"""How sacrebleu finds the words that BLEU counts."""
ModelPart = Literal["src_embedding", "tgt_embedding", "encoder", "decoder", "output"]
"""A part of a model that may be on a device of its own; attention is a part of the decoder."""
PlacedName = Annotated[str, Field(pattern=rf"^({'|'.join(get_args(ModelPart))}|(encoder|decoder)_[1-9][0-9]*)$")]
"""A part of a model or one of its recurrent layers."""


def seconds_of(time: str) -> int:
    """Return the seconds of "20m", "90s" or "1h30m", of "" none; anything else, and no time at all, is a ValueError."""
    found = re.fullmatch(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", time)
    seconds = (
        sum(int(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if time and not seconds:
        raise ValueError(time)
    return seconds


def _threads(value: object) -> object:
    return "auto" if value == 0 and not isinstance(value, bool) else value  # which is how it was written before


def _time(text: str) -> str:
    seconds_of(text)
    return text


_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class TrainingSettings(Section):
    """How the model is trained, on what, and when it stops."""

    parent: Path | None = None
    """A model folder whose weights the run begins with, and whose settings are its defaults; only a run that begins
    reads it."""
    freeze: Annotated[
        tuple[ModelPart, ...], Expected(f"a list of parts of the model, of {', '.join(get_args(ModelPart))}")
    ] = ()
    """Parts whose weights stay as they are, such as those of the parent: ["src_embedding", "encoder"]; parts that share
    a table stay together. Among the parameters of a run, only those that are learnt are counted."""
    objective: Literal["full", "sampled"] = "full"
    """Softmax over the whole vocabulary, or over the gold pieces and sampled ones (Jean et al., 2015)."""
    label_smoothing: Rate = 0.1
    """Probability mass spread over the whole vocabulary (full objective only); unset, a language model has none."""
    sampler: Literal["log_uniform", "unigram"] = "log_uniform"
    """Distribution of the sampled pieces over frequency ranks (sampled objective only)."""
    samples: int = Field(default=1000, ge=1)
    """Expected number of distinct sampled pieces for a batch, or a process's part of it (sampled objective only)."""
    batch_tokens: int = Field(default=800, ge=1)
    """Token budget of a batch: rows times the longer of the padded sides; several processes share a batch. Unset, a new
    run on a GPU has up to 16,000, as far as that leaves an epoch 500 batches."""
    segment_rows: int = Field(default=20, ge=1)
    """Parallel streams that a language model's text is cut into; each is one row of every batch."""
    segment_steps: int = Field(default=35, ge=1)
    """Steps of truncated BPTT: pieces per segment of a language model."""
    carry_state: bool = True
    """Stateful training of a language model: a segment starts from the state at the end of the one before; false: from
    zeros. Validation always carries it over."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are summed for one update."""
    subword_sampling: float = Field(default=0.0, ge=0.0, le=100.0)
    """Segment the text anew in each epoch: the smoothing of unigram (Kudo, 2018) or the dropout rate of bpe; 0: off."""
    noise: Annotated[
        _Share | dict[str, _Share], Expected('a share from 0 to 1, or a table of shares by corpus, {"web.en" = 0.3}')
    ] = 0.0
    """Share of the pairs that are noised, others in each epoch, into what users type; 0: none. Or those of the pairs of
    some corpora, by their names: {"web.en" = 0.3}."""
    noise_kinds: tuple[NoiseKind, ...] = Field(default=tuple(NOISES), min_length=1)
    """Kinds of noise. To the source alone: typos, spaces that are doubled or missing, small letters, capitals, a
    capital for each word; with data.lowercase none of case. To both sides: no full stop, an emoji or a number more, one
    clause of a sentence."""
    r_drop: float = Field(default=0.0, ge=0.0)
    """Weight of the divergence of two passes with different dropout (Liang et al., 2021); 0: one pass. Recurrent
    weights that are dropped are so in both. With a weight of 5 and word dropout, a small model of 29,000
    pairs lost 3.6 BLEU in 12 epochs."""
    ema_decay: Rate = 0.0
    """Decay of the moving average of the weights, which is then validated and kept; 0: none."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The update rule."""
    learning_rate: float = Field(default=0.002, gt=0.0)
    """Peak learning rate."""
    betas: tuple[Rate, Rate] = (0.9, 0.98)
    """Decay rates of Adam's moment estimates."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Weight decay: decoupled for adamw, an L2 penalty for adam and sgd."""
    momentum: Rate = 0.0
    """Momentum of sgd."""
    schedule: Literal["constant", "inverse_sqrt", "cosine", "plateau", "epoch_decay", "step_decay"] = "cosine"
    """What follows the warm-up: nothing, 1/sqrt(step), cosine to zero, halving on plateaus, a factor for each epoch or
    for so many steps."""
    warmup_steps: int = Field(default=400, ge=0)
    """Steps in which the learning rate rises linearly from zero."""
    plateau_patience: int = Field(default=2, ge=1)
    """Validations without a better loss before the plateau schedule halves the rate."""
    decay_after_epochs: int = Field(default=4, ge=0)
    """Epochs at the full learning rate before epoch_decay lowers it."""
    decay_after_steps: int = Field(default=8000, ge=0)
    """Steps at the full learning rate, warm-up included, before step_decay lowers it."""
    decay_every_steps: int = Field(default=1000, ge=1)
    """Steps from there to the next time that step_decay lowers it."""
    decay_factor: float = Field(default=0.5, gt=0.0, le=1.0)
    """What the rate is multiplied by each time: at the start of every later epoch, or after so many steps (schedules
    epoch_decay and step_decay only)."""
    clip_norm: float = Field(default=1.0, ge=0.0)
    """Largest global norm of the gradient; 0: no clipping."""
    clip_value: float = Field(default=0.0, ge=0.0, le=1e30)
    """Largest absolute value of each entry of the gradient, after `clip_norm`; 0: no clipping."""
    max_steps: int = Field(default=0, ge=0)
    """Updates to make; 0: as many as `max_epochs` gives."""
    max_epochs: int = Field(default=12, ge=1)
    """Epochs: passes over the training data."""
    time: Annotated[Annotated[str, AfterValidator(_time)], Expected('a time such as "20m", "90s" or "1h30m"')] = ""
    """Time for the whole run, such as "20m", "90s" or "1h30m", instead of `max_steps` and `max_epochs`: how many steps
    fit is measured before the first one; empty: any."""
    validate_every: int = Field(default=500, ge=1)
    """Steps between validations."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints of the whole training state."""
    keep_checkpoints: int = Field(default=3, ge=1)
    """Checkpoints to keep; a run continues from the newest undamaged one."""
    patience: int = Field(default=0, ge=0)
    """Validations without a better score before training stops early; 0: never."""
    best_by: Literal["bleu", "loss"] = "bleu"
    """The validation score that chooses the best model; unset, for a language model the loss."""
    validation_weights: dict[str, Annotated[float, Field(gt=0.0)]] | None = None
    """What further validation sets count in the choice of the best model, by their names, beside the first one's 1:
    {"old.en" = 0.5}."""
    bleu_tokenizer: BleuTokenizer | Literal["auto"] = "auto"
    """Tokenizer of sacrebleu for validation BLEU; auto: the one that suits the target's script."""
    log_every: Annotated[
        Annotated[int, Field(ge=1)] | Literal["tenth"], Expected('a number of steps, 1 or more, or "tenth"')
    ] = 50
    """Steps between records in metrics.jsonl and train.log; "tenth": a tenth of an epoch, rounded."""
    seed: int = Field(default=1, ge=0)
    """Seed of the weights, the batches, the dropout and the samples."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: the GPU if there is one."""
    placement: Annotated[
        dict[PlacedName, Annotated[str, Field(pattern=r"^(cpu|cuda:[0-9]+)$")]] | None,
        Expected(
            f"a table of parts ({', '.join(get_args(ModelPart))}) and layers (encoder_1, decoder_1 and so on), each "
            'with "cpu" or "cuda:N"'
        ),
    ] = None
    """Parts of the model, or single recurrent layers, on devices of their own: {src_embedding = "cpu", decoder =
    "cuda:1", decoder_3 = "cuda:2"}. Layers are counted from 1, the first one that reads embeddings, and are with their
    part unless named (those of a language model are decoder_1 and so on); other parts are on `device`; parts that share
    a table stay together. A layer that is elsewhere costs two copies of all that it reads and makes, at every step of
    the search: slow. For one process; never tried on two GPUs."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the matrix products; auto: bf16 where the hardware has it; fp16: for GPUs without it, with a scale
    of the loss that adapts. Weights stay fp32."""
    threads: Annotated[
        Annotated[int, Field(ge=1)] | Literal["auto"],
        BeforeValidator(_threads),
        Expected('a number of threads, 1 or more, or "auto"'),
    ] = "auto"
    """CPU threads, each of which computes a part of every batch. auto: one for each core that this process may use, or
    as OMP_NUM_THREADS says, but none for parts of less than 250 tokens; or one alone, if a trial before a long run
    finds that faster. A run keeps its number on any machine."""
    tensorboard: bool = True
    """Write TensorBoard curves next to metrics.jsonl."""
