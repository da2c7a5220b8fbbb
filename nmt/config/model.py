"""Settings of the model: the cells, sizes and layers of its network."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from nmt.config.section import Expected, Rate, Section


@dataclass(frozen=True)
class CellFacts:
    """What settings have to know of a recurrent cell, as its layer in `nmt/models/cells/` has it."""

    state: tuple[Literal["h", "c"], ...]
    """Its parts: output and memory."""
    bounded: bool = True
    """Whether outputs lie in [-1, 1]."""
    forget_gate: bool = True
    """Whether it has one, with a bias."""
    recurrent_weights: bool = True
    """Whether it multiplies its state."""


CELLS: Final[dict[str, CellFacts]] = {
    "lstm": CellFacts(("h", "c")),
    "gru": CellFacts(("h",), forget_gate=False),
    "rnn": CellFacts(("h",), forget_gate=False),
    "rnn_relu": CellFacts(("h",), bounded=False, forget_gate=False),
    "peephole_lstm": CellFacts(("h", "c")),
    "layer_norm_lstm": CellFacts(("h", "c")),
    "cho_gru": CellFacts(("h",), forget_gate=False),
    "ssru": CellFacts(("c",), bounded=False, recurrent_weights=False),
}
"""Every recurrent cell by its name."""

if TYPE_CHECKING:
    Cell = str
else:
    Cell = Literal[tuple(CELLS)]

LayerRates = Annotated[Rate | tuple[Rate, ...] | None, Expected("a rate from 0 to below 1, or a list of such rates")]


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
    """Size of the embeddings, source and target."""
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
    bidirectional: Annotated[bool | Literal["first"], Expected('true, false or "first"')] = True
    """Read the source in both directions in every encoder layer, in none, or in the first one only (GNMT: Wu et al.,
    2016, sec. 3.2)."""
    reverse_source: bool = True
    """Reverse the source (Sutskever et al., 2014)."""
    right_to_left: bool = False
    """Write the translation from its last piece to its first: for models that rescore (Liu et al., 2016). One of 256
    cells was worth 0.5 and 0.9 BLEU beside two models of 29,000 pairs."""
    attention: Literal["dot", "scaled_dot", "general", "additive", "none"] = "general"
    """How the decoder scores source positions (Luong et al., 2015; Bahdanau et al., 2015); none: the decoder sees the
    source only in its initial state (Sutskever et al., 2014)."""
    attention_heads: int = Field(default=1, ge=1)
    """Heads of attention (after Vaswani et al., 2017), a number that divides both sizes: each compares its part of the
    decoder's state with its part of the keys, and reads its part of the encoder's outputs."""
    decoder_init: Literal["bridge", "copy", "zeros"] = "bridge"
    """What the decoder starts from: a layer of its own over the encoder's last output; the encoder's last state, layer
    by layer; zeros."""
    input_feeding: bool = False
    """Feed the attentional vector to the next step (Luong et al., 2015, sec. 3.3): slower, one step at a time."""
    init: Literal["auto", "orthogonal", "xavier", "he", "uniform"] = "auto"
    """How matrices start: recurrent ones orthogonal, what reads inputs as xavier; all but embeddings as xavier
    (Glorot & Bengio, 2010) or he (He et al., 2015); uniform: all weights within `init_range`. Auto: uniform where
    that is set, else orthogonal."""
    init_range: float = Field(default=0.0, ge=0.0)
    """All weights start uniform within plus and minus this (Zaremba et al., 2015); 0: each kind in its own way."""
    forget_bias: float | None = None
    """What the bias of a forget gate starts from; unset: 1 (Jozefowicz et al., 2015), but 0 with init = "uniform",
    which draws it within `init_range` of that."""
    residual: Annotated[
        bool | Annotated[int, Field(ge=1)], Expected("true, false or the number of a layer, 1 or more")
    ] = False
    """Add the input of a recurrent layer to its output where their sizes agree: in all layers, in none, or from this
    layer on, counted from 1, the lowest one (3 in GNMT: Wu et al., 2016, fig. 1)."""
    dropout: Rate = 0.3
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
    recurrent_dropout: Rate = 0.0
    """Share of the recurrent weights dropped in each update, alike at all steps (Merity et al., 2018, sec. 2)."""
    word_dropout: Rate = 0.0
    """Share of the input pieces, source and target, whose vector is zeroed."""
    tied_embeddings: Literal["auto", "none", "target", "all"] = "auto"
    """Shared tables: target input with output, or also the source; auto: all with a joint vocabulary, else target."""
    src_vectors: Path | None = None
    """Word vectors the source's start from: text (word2vec, GloVe, fastText) or .bin; in a recipe, from its folder."""
    tgt_vectors: Path | None = None
    """Word vectors that the target's start from, or those of a language model."""
    freeze_src_vectors: bool = False
    """Freeze pieces that have a vector in `src_vectors`; false: they are trained further."""
    freeze_tgt_vectors: bool = False
    """Freeze pieces that have a vector in `tgt_vectors`; false: they are trained further."""

    @model_validator(mode="after")
    def _values_must_agree(self) -> Self:
        sides = [self._faults_without_attention(), self._faults_of_copying()] if self.kind == "translation" else []
        for fault in chain(self._faults_of_rates(), *sides, self._faults()):
            raise ValueError(fault)
        return self

    def _faults_of_rates(self) -> Iterator[str]:
        for side in ("encoder", "decoder"):
            rates, layers = getattr(self, f"{side}_dropout"), getattr(self, f"{side}_layers")
            if isinstance(rates, tuple) and len(rates) != layers - 1:
                yield (
                    f"{side}_dropout lists {len(rates)}, expected {layers - 1}: a rate for every layer but the first "
                    f"of {side}_layers = {layers}"
                )

    def _faults_without_attention(self) -> Iterator[str]:
        if self.attention == "none" and self.decoder_init == "zeros":
            yield (
                'attention = "none" with decoder_init = "zeros" lets the decoder know nothing of the source: set '
                'decoder_init = "bridge" or "copy", or another attention'
            )
        if self.attention == "none" and self.input_feeding:
            yield (
                'input_feeding = true feeds what attention has read, but attention = "none" reads nothing: set '
                "input_feeding = false, or another attention"
            )

    def _faults_of_copying(self) -> Iterator[str]:
        if self.decoder_init != "copy":
            return
        encoder, decoder = self.encoder_stack(), self.decoder_stack()
        one, other = CELLS[encoder.cell], CELLS[decoder.cell]
        if encoder.layers != decoder.layers:
            yield (
                'decoder_init = "copy" gives each layer of the decoder the state of one of the encoder: it needs as '
                f"many of both, found encoder_layers = {encoder.layers} and decoder_layers = {decoder.layers}"
            )
        if encoder.size != decoder.size:
            yield (
                'decoder_init = "copy" gives the decoder the state of the encoder: expected them to be as wide, found '
                f"an encoder of {encoder.size} cells and a decoder of {decoder.size}"
            )
        if (one.state, one.bounded) != (other.state, other.bounded):
            yield (
                'decoder_init = "copy" gives the decoder the state of the encoder: expected cells whose states have '
                f'the same parts and bounds, found "{encoder.cell}" and "{decoder.cell}"'
            )

    def _faults(self) -> Iterator[str]:
        encoder, decoder, heads = self.encoder_stack().size, self.decoder_stack().size, self.attention_heads
        if self.kind == "translation" and self.attention in ("dot", "scaled_dot") and encoder != decoder:
            yield (
                f'attention = "{self.attention}" multiplies states of the decoder with outputs of the encoder: '
                f'expected them to be as wide, or "general" or "additive", found encoder_size = {encoder} and '
                f"decoder_size = {decoder}"
            )
        if self.kind == "translation" and self.attention != "none" and (encoder % heads or decoder % heads):
            yield (
                f"attention_heads = {heads} cuts outputs of the encoder and states of the decoder into equal parts: "
                f"expected a number that divides both, found encoder_size = {encoder} and decoder_size = {decoder}"
            )
        if self.recurrent_dropout and not any(CELLS[stack.cell].recurrent_weights for stack in self.stacks()):
            yield (
                f'recurrent_dropout must be 0 for cell "{self.decoder_stack().cell}", which has no recurrent weights, '
                f"found {self.recurrent_dropout}"
            )
        if self.init == "uniform" and not self.init_range:
            yield 'init = "uniform" draws all weights within plus and minus init_range: expected one above 0, found 0'
        if self.kind == "translation" and self.bidirectional and encoder % 2:
            name = "hidden_size" if self.encoder_size is None else "encoder_size"
            yield f"{name} must be even for a bidirectional encoder, found {encoder}"
        if self.kind == "lm" and (self.src_vectors or self.freeze_src_vectors):
            yield "a language model has no source: its word vectors are tgt_vectors, not src_vectors"
        for side in ("src", "tgt"):
            if getattr(self, f"freeze_{side}_vectors") and getattr(self, f"{side}_vectors") is None:
                yield f"freeze_{side}_vectors = true needs the file of {side}_vectors"

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
