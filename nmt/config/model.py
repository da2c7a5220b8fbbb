"""Settings of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from nmt.config.section import Rate, Section, expecting


@dataclass(frozen=True)
class CellFacts:
    """What settings have to know of a recurrent cell, as its layer in `nmt/models/cells/` has it."""

    state: Literal["h", "h, c", "c"]
    """Its parts: output and memory."""
    bounded: bool = True
    """Whether outputs lie in [-1, 1]."""
    forget_gate: bool = True
    """Whether it has one, with a bias."""
    recurrent_weights: bool = True
    """Whether it multiplies its state."""


CELLS: Final[dict[str, CellFacts]] = {
    "lstm": CellFacts("h, c"),
    "gru": CellFacts("h", forget_gate=False),
    "rnn": CellFacts("h", forget_gate=False),
    "rnn_relu": CellFacts("h", bounded=False, forget_gate=False),
    "peephole_lstm": CellFacts("h, c"),
    "layer_norm_lstm": CellFacts("h, c"),
    "cho_gru": CellFacts("h", forget_gate=False),
    "ssru": CellFacts("c", bounded=False, recurrent_weights=False),
}
"""Every recurrent cell by its name."""

if TYPE_CHECKING:
    Cell = str
else:
    Cell = Literal[tuple(CELLS)]

LayerRates = Annotated[Rate | tuple[Rate, ...] | None, expecting("a rate from 0 to below 1, or a list of such rates")]


@dataclass(frozen=True)
class Stack:
    """The recurrent layers of an encoder, a decoder or a language model, which are alike."""

    cell: Cell
    size: int
    """Cells of a layer's output, of both directions together."""
    layers: int


class ModelSettings(Section):
    """The shape of the model."""

    kind: Literal["translation", "lm"] = "translation"
    """An encoder-decoder for pairs, or a language model, which is its decoder alone, for text."""
    cell: Cell = "lstm"
    """The recurrent cell of encoder and decoder, or of the language model; "rnn" squashes by tanh, "cho_gru" resets its
    state before the product (Cho et al., 2014), "gru" after it."""
    encoder_cell: Cell | None = None
    """The cell of the encoder; unset: `cell`."""
    decoder_cell: Cell | None = None
    """The cell of the decoder, or of the language model; unset: `cell`."""
    embedding_size: int = Field(default=256, ge=1)
    """Size of the word vectors, source and target."""
    hidden_size: int = Field(default=512, ge=1)
    """Size of the decoder state and of the encoder output (a bidirectional encoder gives half to each direction)."""
    encoder_size: int | None = Field(default=None, ge=1)
    """Size of the encoder output; unset: `hidden_size`."""
    decoder_size: int | None = Field(default=None, ge=1)
    """Size of the decoder state, or of that of the language model; unset: `hidden_size`."""
    encoder_layers: int = Field(default=2, ge=1)
    """Stacked recurrent layers of the encoder."""
    decoder_layers: int = Field(default=1, ge=1)
    """Stacked recurrent layers of the decoder, or of the language model."""
    bidirectional: Annotated[bool | Literal["first"], expecting('true, false or "first"')] = True
    """Read the source in both directions in every encoder layer, in none, or in the first one only (GNMT: Wu et al.,
    2016, sec. 3.2)."""
    reverse_source: bool = True
    """Feed the source last word first (Sutskever et al., 2014)."""
    attention: Literal["dot", "scaled_dot", "general", "additive", "none"] = "general"
    """How the decoder scores source positions (Luong et al., 2015; Bahdanau et al., 2015); none: it reads none of them
    and knows of the source what it starts from (Sutskever et al., 2014)."""
    decoder_init: Literal["bridge", "copy", "zeros"] = "bridge"
    """What the decoder starts from: a layer of its own over the encoder's last output; the encoder's last state, layer
    by layer; zeros."""
    input_feeding: bool = False
    """Feed the attentional vector to the next step (Luong et al., 2015, sec. 3.3): slower, one step at a time."""
    init: Literal["auto", "orthogonal", "xavier", "he", "uniform"] = "auto"
    """How matrices start: recurrent ones orthogonal, what reads inputs as xavier; all but word vectors as xavier
    (Glorot & Bengio, 2010) or he (He et al., 2015); uniform: all weights within `init_range`. Auto: uniform where
    that is set, else orthogonal."""
    init_range: float = Field(default=0.0, ge=0.0)
    """All weights start uniform within plus and minus this (Zaremba et al., 2015); 0: each kind in its own way."""
    forget_bias: float | None = None
    """What the bias of a forget gate starts from; unset: 1 (Jozefowicz et al., 2015), but 0 with init = "uniform",
    which draws it within `init_range` of that."""
    residual: bool = False
    """Add the input of a recurrent layer to its output where their sizes agree."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Dropout on embeddings, between layers and before the output layer."""
    embedding_dropout: Rate | None = None
    """Dropout on embeddings; unset: `dropout`."""
    encoder_dropout: LayerRates = None
    """Dropout on the input of every encoder layer but the first: one rate or a list of rates; unset: `dropout`."""
    decoder_dropout: LayerRates = None
    """Dropout on the input of every decoder layer but the first: one rate or a list of rates; unset: `dropout`."""
    readout_dropout: Rate | None = None
    """Dropout before the output layer, on decoder state and context; unset: `dropout`."""
    variational_dropout: bool = False
    """Drop the same cells at all positions of a sentence (Gal & Ghahramani, 2016) in all these places."""
    recurrent_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the recurrent weights dropped in each update, alike at all steps (Merity et al., 2018, sec. 2)."""
    word_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the input pieces, source and target, whose vector is zeroed."""
    tied_embeddings: Literal["auto", "none", "target", "all"] = "auto"
    """Shared tables: target input with output, or also the source; auto: all with a joint vocabulary, else target."""
    src_vectors: Path | None = None
    """Word vectors the source's start from: text (word2vec, GloVe, fastText) or .bin; in a recipe, from its folder."""
    tgt_vectors: Path | None = None
    """Word vectors that the target's start from, or those of a language model."""
    freeze_src_vectors: bool = False
    """Pieces that have a vector in `src_vectors` keep it; false: they learn on from it."""
    freeze_tgt_vectors: bool = False
    """Pieces that have a vector in `tgt_vectors` keep it; false: they learn on from it."""

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
    def _something_of_the_source_must_be_read(self) -> "ModelSettings":
        if self.kind == "lm" or self.attention != "none":
            return self
        if self.decoder_init == "zeros":
            raise ValueError(
                'attention = "none" with decoder_init = "zeros" lets the decoder know nothing of the source: set '
                'decoder_init = "bridge" or "copy", or another attention'
            )
        if self.input_feeding:
            raise ValueError(
                'input_feeding = true feeds what attention has read, but attention = "none" reads nothing: set '
                "input_feeding = false, or another attention"
            )
        return self

    @model_validator(mode="after")
    def _what_is_copied_must_fit(self) -> "ModelSettings":
        if self.kind == "translation" and self.decoder_init == "copy" and self.encoder_layers != self.decoder_layers:
            raise ValueError(
                'decoder_init = "copy" gives each layer of the decoder the state of one of the encoder: it needs as '
                f"many of both, found encoder_layers = {self.encoder_layers} and decoder_layers = {self.decoder_layers}"
            )
        return self

    @model_validator(mode="after")
    def _copied_states_must_be_alike(self) -> "ModelSettings":
        if self.kind == "lm" or self.decoder_init != "copy":
            return self
        encoder, decoder = self.encoder_stack(), self.decoder_stack()
        if encoder.size != decoder.size:
            raise ValueError(
                'decoder_init = "copy" gives the decoder the state of the encoder: expected them to be as wide, found '
                f"an encoder of {encoder.size} cells and a decoder of {decoder.size}"
            )
        one, other = CELLS[encoder.cell], CELLS[decoder.cell]
        if (one.state, one.bounded) != (other.state, other.bounded):
            raise ValueError(
                'decoder_init = "copy" gives the decoder the state of the encoder: expected cells whose states have '
                f'the same parts and bounds, found "{encoder.cell}" and "{decoder.cell}"'
            )
        return self

    @model_validator(mode="after")
    def _dot_products_are_of_vectors_of_one_size(self) -> "ModelSettings":
        if self.kind == "lm" or self.attention not in ("dot", "scaled_dot"):
            return self
        encoder, decoder = self.encoder_stack().size, self.decoder_stack().size
        if encoder != decoder:
            raise ValueError(
                f'attention = "{self.attention}" multiplies states of the decoder with outputs of the encoder: '
                f'expected them to be as wide, or "general" or "additive", found encoder_size = {encoder} and '
                f"decoder_size = {decoder}"
            )
        return self

    @model_validator(mode="after")
    def _recurrent_weights_must_exist_to_be_dropped(self) -> "ModelSettings":
        if self.recurrent_dropout and not any(CELLS[stack.cell].recurrent_weights for stack in self.stacks()):
            raise ValueError(
                f'recurrent_dropout must be 0 for cell "{self.decoder_stack().cell}", which has no recurrent weights, '
                f"found {self.recurrent_dropout}"
            )
        return self

    @model_validator(mode="after")
    def _what_is_uniform_must_have_a_range(self) -> "ModelSettings":
        if self.init == "uniform" and not self.init_range:
            raise ValueError(
                'init = "uniform" draws all weights within plus and minus init_range: expected one above 0, found 0'
            )
        return self

    @model_validator(mode="after")
    def _halves_must_be_whole(self) -> "ModelSettings":
        size = self.encoder_stack().size
        if self.kind == "translation" and self.bidirectional and size % 2:
            name = "hidden_size" if self.encoder_size is None else "encoder_size"
            raise ValueError(f"{name} must be even for a bidirectional encoder, found {size}")
        return self

    @model_validator(mode="after")
    def _vectors_must_have_a_use(self) -> "ModelSettings":
        if self.kind == "lm" and (self.src_vectors or self.freeze_src_vectors):
            raise ValueError("a language model has no source: its word vectors are tgt_vectors, not src_vectors")
        for side, vectors, freeze in (
            ("src", self.src_vectors, self.freeze_src_vectors),
            ("tgt", self.tgt_vectors, self.freeze_tgt_vectors),
        ):
            if freeze and vectors is None:
                raise ValueError(f"freeze_{side}_vectors = true needs the file of {side}_vectors")
        return self

    def encoder_stack(self) -> Stack:
        """Say what the layers of the encoder are."""
        return Stack(self.encoder_cell or self.cell, self.encoder_size or self.hidden_size, self.encoder_layers)

    def decoder_stack(self) -> Stack:
        """Say what the layers of the decoder, or of the language model, are."""
        return Stack(self.decoder_cell or self.cell, self.decoder_size or self.hidden_size, self.decoder_layers)

    def stacks(self) -> tuple[Stack, ...]:
        """Say what layers there are."""
        decoder = self.decoder_stack()
        return (decoder,) if self.kind == "lm" else (self.encoder_stack(), decoder)

    def start(self) -> Literal["orthogonal", "xavier", "he", "uniform"]:
        """Say what `init` comes to."""
        if self.init == "auto":
            return "uniform" if self.init_range else "orthogonal"
        return self.init

    def tying(self, *, joint: bool) -> Literal["none", "target", "all"]:
        """Say what `tied_embeddings` comes to, given whether the vocabulary is a joint one."""
        if self.tied_embeddings == "auto":
            return "all" if joint else "target"
        return self.tied_embeddings
