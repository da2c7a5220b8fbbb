"""Settings of the model."""

from typing import Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from nmt.config.section import Rate, Section


class ModelSettings(Section):
    """The shape of the model."""

    kind: Literal["translation", "lm"] = "translation"
    """An encoder-decoder for pairs, or a language model, which is its decoder alone, for text."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell of encoder and decoder."""
    embedding_size: int = Field(default=256, ge=1)
    """Size of the word vectors, source and target."""
    hidden_size: int = Field(default=512, ge=1)
    """Size of the decoder state and of the encoder output (a bidirectional encoder gives half to each direction)."""
    encoder_layers: int = Field(default=2, ge=1)
    """Stacked recurrent layers of the encoder."""
    decoder_layers: int = Field(default=1, ge=1)
    """Stacked recurrent layers of the decoder, or of the language model."""
    bidirectional: bool = True
    """Read the source in both directions in every encoder layer."""
    reverse_source: bool = True
    """Feed the source last word first (Sutskever et al., 2014)."""
    attention: Literal["dot", "scaled_dot", "general", "additive"] = "general"
    """How the decoder scores source positions (Luong et al., 2015; Bahdanau et al., 2015)."""
    input_feeding: bool = False
    """Feed the attentional vector to the next step (Luong et al., 2015, sec. 3.3): slower, one step at a time."""
    init_range: float = Field(default=0.0, ge=0.0)
    """All weights start uniform within plus and minus this (Zaremba et al., 2015); 0: each kind in its own way."""
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
