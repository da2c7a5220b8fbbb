"""The settings: one frozen, typed tree. The string under each field is its documentation."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """One table of the settings: closed, frozen, every field documented."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class DataSettings(Section):
    """Which text is read, and which pairs are kept."""

    root: Path = Path()
    """The folder that relative paths below start from."""
    train_src: tuple[Path, ...] = ()
    """Source side of the training text, one or several files (.gz .xz .bz2 .zst are read as they are)."""
    train_tgt: tuple[Path, ...] = ()
    """Target side of the training text, line by line the translation of `train_src`."""
    train_tsv: tuple[Path, ...] = ()
    """Training text as source <tab> target lines, instead of or beside the file pairs."""
    valid_src: Path | None = None
    """Source side of the validation text; without it, `heldout_pairs` are taken from the training text."""
    valid_tgt: Path | None = None
    """Target side of the validation text."""
    test_src: Path | None = None
    """Source side of the test text, translated and scored by `nmt run`."""
    test_tgt: Path | None = None
    """Target side of the test text."""
    heldout_pairs: int = Field(default=1000, ge=1)
    """Pairs held out for validation when no validation files are given (at most a tenth of the corpus)."""
    max_characters: int = Field(default=1000, ge=1)
    """Longest side of a training pair, in characters; longer pairs are rejected."""
    max_pieces: int = Field(default=128, ge=1)
    """Longest side of a training pair, in subword pieces; longer pairs are rejected."""
    max_length_ratio: float = Field(default=6.0, ge=1.0)
    """Largest ratio of the characters of the longer to the shorter side."""
    drop_duplicates: bool = True
    """Reject a pair that has been seen before."""
    drop_copies: bool = True
    """Reject a pair whose source is its target."""
    on_bad_utf8: Literal["error", "replace"] = "error"
    """What bytes that are not UTF-8 lead to: an error that names the line, or U+FFFD in their place."""
    seed: int = Field(default=1, ge=0)
    """Seed of the held-out choice and of the sample that the tokenizer is trained on."""


class TokenizerSettings(Section):
    """How text is cut into pieces (SentencePiece)."""

    kind: Literal["unigram", "bpe"] = "unigram"
    """The subword model: unigram language model (Kudo, 2018) or byte-pair encoding (Sennrich et al., 2016)."""
    vocab_size: int = Field(default=8000, ge=16)
    """Pieces of each vocabulary, specials included."""
    joint: bool = True
    """One model and vocabulary for both languages; false: one for each."""
    character_coverage: float = Field(default=1.0, gt=0.9, le=1.0)
    """Share of the characters of the corpus that get a piece; 0.9995 suits Chinese or Japanese."""
    placeholders: tuple[Literal["number", "url"], ...] = ()
    """What is replaced by [NUM] or [URL] before translation and put back after it."""
    max_training_lines: int = Field(default=2_000_000, ge=1)
    """Sample size for tokenizer training, in pairs."""


class ModelSettings(Section):
    """The shape of the encoder-decoder."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell of encoder and decoder."""
    embedding_size: int = Field(default=256, ge=1)
    """Size of the word vectors, source and target."""
    hidden_size: int = Field(default=512, ge=1)
    """Size of the decoder state and of the encoder output (a bidirectional encoder gives half to each direction)."""
    encoder_layers: int = Field(default=2, ge=1)
    """Stacked recurrent layers of the encoder."""
    decoder_layers: int = Field(default=1, ge=1)
    """Stacked recurrent layers of the decoder."""
    bidirectional: bool = True
    """Read the source in both directions in every encoder layer."""
    reverse_source: bool = True
    """Feed the source last word first (Sutskever et al., 2014)."""
    attention: Literal["dot", "scaled_dot", "general", "additive"] = "general"
    """How the decoder scores source positions (Luong et al., 2015; Bahdanau et al., 2015)."""
    input_feeding: bool = False
    """Feed the attentional vector to the next step (Luong et al., 2015, sec. 3.3): slower, one step at a time."""
    residual: bool = False
    """Add the input of a recurrent layer to its output where their sizes agree."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Dropout on embeddings, between layers and before the output layer."""
    embedding_dropout: Rate | None = None
    """Dropout on embeddings; unset: `dropout`."""
    encoder_dropout: Rate | tuple[Rate, ...] | None = None
    """Dropout on the input of every encoder layer but the first: one rate or a list of rates; unset: `dropout`."""
    decoder_dropout: Rate | tuple[Rate, ...] | None = None
    """Dropout on the input of every decoder layer but the first: one rate or a list of rates; unset: `dropout`."""
    readout_dropout: Rate | None = None
    """Dropout before the output layer, on decoder state and context; unset: `dropout`."""
    variational_dropout: bool = False
    """Drop the same cells at all positions of a sentence (Gal & Ghahramani, 2016) in all these places."""
    recurrent_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the recurrent weights dropped in each update, alike at all steps (Merity et al., 2018, sec. 2)."""
    word_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the input words, source and target, whose vector is zeroed."""
    tied_embeddings: Literal["auto", "none", "target", "all"] = "auto"
    """Shared tables: target input with output, or also the source; auto: all with a joint vocabulary, else target."""

    @field_validator("encoder_dropout", "decoder_dropout", mode="wrap")
    @classmethod
    def _rates_must_be_rates(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(f"expected a rate from 0 to below 1, or a list of such rates, found {value!r}") from error

    @model_validator(mode="after")
    def _every_layer_but_the_first_has_its_rate(self) -> "ModelSettings":
        encoder = ("encoder", self.encoder_dropout, self.encoder_layers)
        decoder = ("decoder", self.decoder_dropout, self.decoder_layers)
        for side, rates, layers in (encoder, decoder):
            if isinstance(rates, tuple) and len(rates) != layers - 1:
                raise ValueError(
                    f"{side}_dropout lists {len(rates)}, expected {layers - 1}: a rate for every layer but the first "
                    f"of {side}_layers = {layers}"
                )
        return self

    @model_validator(mode="after")
    def _halves_must_be_whole(self) -> "ModelSettings":
        if self.bidirectional and self.hidden_size % 2:
            raise ValueError(f"hidden_size must be even for a bidirectional encoder, found {self.hidden_size}")
        return self


class TrainingSettings(Section):
    """How the model is trained, on what, and when it stops."""

    objective: Literal["full", "sampled"] = "full"
    """Softmax over the whole vocabulary, or over the gold words and sampled ones (Jean et al., 2015)."""
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability mass spread over the whole vocabulary (full objective only)."""
    sampler: Literal["log_uniform", "unigram"] = "log_uniform"
    """Distribution of the sampled words over frequency ranks (sampled objective only)."""
    samples: int = Field(default=1000, ge=1)
    """Expected number of distinct sampled words for a batch, or a process's part of it (sampled objective only)."""
    batch_tokens: int = Field(default=800, ge=1)
    """Token budget of a batch: rows times the longer of the padded sides; several processes share a batch."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are summed for one update."""
    subword_sampling: float = Field(default=0.0, ge=0.0)
    """Cut the words anew in each pass: for unigram the smoothing (Kudo, 2018), for bpe the dropout rate; 0: off."""
    r_drop: float = Field(default=0.0, ge=0.0)
    """Weight of the divergence of two passes with different dropout (Liang et al., 2021); 0: one pass."""
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of the moving average of the weights, which is then validated and kept; 0: none."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The update rule."""
    learning_rate: float = Field(default=0.002, gt=0.0)
    """Peak learning rate."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Decay rates of Adam's moment estimates."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Weight decay: decoupled for adamw, an L2 penalty for adam and sgd."""
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Momentum of sgd."""
    schedule: Literal["constant", "inverse_sqrt", "cosine", "plateau"] = "cosine"
    """What follows the warm-up: nothing, 1/sqrt(step), cosine to zero at the last step, halving on plateaus."""
    warmup_steps: int = Field(default=400, ge=0)
    """Steps in which the learning rate rises linearly from zero."""
    plateau_patience: int = Field(default=2, ge=1)
    """Validations without a better loss before the plateau schedule halves the rate."""
    clip_norm: float = Field(default=1.0, ge=0.0)
    """Largest global norm of the gradient; 0: no clipping."""
    max_steps: int = Field(default=0, ge=0)
    """Updates to make; 0: as many as `max_epochs` gives."""
    max_epochs: int = Field(default=12, ge=1)
    """Passes over the training pairs."""
    validate_every: int = Field(default=500, ge=1)
    """Steps between validations."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between checkpoints of the whole training state."""
    keep_checkpoints: int = Field(default=3, ge=1)
    """Checkpoints to keep; the newest that is whole is continued from."""
    patience: int = Field(default=0, ge=0)
    """Validations without a better score before training stops early; 0: never."""
    best_by: Literal["bleu", "loss"] = "bleu"
    """The validation score that chooses the best model."""
    log_every: int = Field(default=50, ge=1)
    """Steps between records in metrics.jsonl."""
    seed: int = Field(default=1, ge=0)
    """Seed of the weights, the batches, the dropout and the samples."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: the GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the matrix products; auto: bf16 where the hardware has it. Weights stay fp32."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of each process; 0: one a core, or what OMP_NUM_THREADS says (torchrun sets it to 1)."""
    tensorboard: bool = True
    """Write TensorBoard curves next to metrics.jsonl."""


class SearchSettings(Section):
    """How translations are searched for."""

    beam_size: int = Field(default=5, ge=1, le=1000)
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: float = Field(default=1.0, ge=0.0)
    """Exponent of the length normalisation (Wu et al., 2016, eq. 14); 0: none."""
    coverage_penalty: float = Field(default=0.0, ge=0.0)
    """Weight of the coverage penalty (Wu et al., 2016, eq. 14) in a beam search; 0: none."""
    min_length_ratio: float = Field(default=0.0, ge=0.0)
    """Shortest output in pieces: this times the source length, and no more than the longest allows."""
    max_length_ratio: float = Field(default=2.0, gt=0.0, le=100.0)
    """Longest output in pieces: this times the source length, plus ten."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """No sequence of so many pieces comes twice in a translation; 0: any may."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic of the matrix products; auto: bf16 where the hardware has it. int8 is for CPUs."""
    shortlist: int = Field(default=0, ge=0)
    """Words scored for each sentence, those that `nmt shortlist` expects and the most frequent; 0: all."""
    batch_tokens: int = Field(default=8000, ge=1)
    """What is searched at once: sentences times beams times the longest source; no translation depends on it."""


class Settings(Section):
    """Everything a run depends on; stored in every model as config.toml."""

    data: DataSettings = DataSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    search: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _sections_must_agree(self) -> "Settings":
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            raise ValueError(
                'model.tied_embeddings = "all" needs tokenizer.joint = true; with two vocabularies use "target"'
            )
        if self.training.r_drop and self.training.objective == "sampled":
            raise ValueError('training.r_drop compares whole distributions: it needs training.objective = "full"')
        return self
