"""The decoders: what they start from, over whole target sequences for training, one pure step at a time for search."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nmt.models.attention import Attention, Memories, Memory
from nmt.models.cells.layer import Recurrence, RecurrentLayer, State, Weights, make_layer, wide_parameters
from nmt.models.embedding import Dropout
from nmt.models.kernels import Linear
from nmt.models.recording import is_recorded, recomputed
from nmt.models.tensors import Rows, mapped, picker, tensors_of, with_tensors

DecoderInit = Literal["bridge", "copy", "zeros"]


class Bridges(nn.ModuleList):
    """For each layer of the decoder one over the encoder's last outputs (Bahdanau et al., 2015, A.2.2)."""

    def __init__(self, *, memory_size: int, hidden_size: int, state_parts: int, layers: int) -> None:
        super().__init__(Linear(memory_size, state_parts * hidden_size) for _ in range(layers))
        self.state_parts = state_parts

    def forward(self, summary: Tensor) -> list[State]:
        """Make each layer's first state, parts [B, H], from the last outputs, [B, M]."""
        return [torch.tanh(bridge(summary)).chunk(self.state_parts, dim=1) for bridge in self]


class CopiedState(nn.Module):
    """The encoder's last state itself, each layer's for the layer of its height (Sutskever et al., 2014)."""

    def __init__(self, *, state_parts: int, layers: int) -> None:
        super().__init__()
        self.state_parts = state_parts
        self.layers = layers

    def forward(self, summary: Tensor) -> list[State]:
        """Cut the last state of every layer, side by side [B, L * parts * H], into each layer's parts [B, H]."""
        return [layer.chunk(self.state_parts, dim=1) for layer in summary.chunk(self.layers, dim=1)]


class Zeros(CopiedState):
    """Nothing in the place of it: what is known of the source has to be read by attention."""

    def __init__(self, *, hidden_size: int, state_parts: int, layers: int) -> None:
        super().__init__(state_parts=state_parts, layers=layers)
        self.size = layers * state_parts * hidden_size

    def forward(self, summary: Tensor) -> list[State]:
        """Make zeros for as many sentences as `summary` [B, N] has."""
        return super().forward(summary.new_zeros(len(summary), self.size))


def make_init(kind: DecoderInit, *, memory_size: int, hidden_size: int, state_parts: int, layers: int) -> nn.Module:
    """Make what a decoder of so many layers starts from, after an encoder whose outputs have `memory_size` cells."""
    if kind == "bridge":
        return Bridges(memory_size=memory_size, hidden_size=hidden_size, state_parts=state_parts, layers=layers)
    if kind == "copy":
        return CopiedState(state_parts=state_parts, layers=layers)
    return Zeros(hidden_size=hidden_size, state_parts=state_parts, layers=layers)


@dataclass(frozen=True)
class DecoderSizes:
    """How wide the parts of a decoder are."""

    embedding: int
    hidden: int
    features: int
    """What the output layer scores."""
    memory: int
    """The outputs of the encoder."""


@dataclass(frozen=True)
class DecoderState(Rows):
    """Everything a next step depends on: B sentences with K beams each."""

    common = frozenset({"weights"})
    memory: Memories
    """The sources, one row a sentence: beams share it."""
    layers: tuple[State, ...]
    """The recurrent state of each layer, parts [B, K, H]."""
    feed: Tensor
    """The last attentional vector, [B, K, F]; [B, K, 0] without input feeding."""
    attention: Tensor
    """How much the last step read of each source position, [B, K, S], zero on padding and before the first step."""
    weights: tuple[Weights, ...]
    """The weights of each layer, the same at all steps."""
    masks: tuple[Tensor | None, ...]
    """Dropout masks that all steps share, [B, 1, *]: of the input of each upper layer, then of the readout's."""

    @property
    def pieces(self) -> None:
        """Every piece is scored."""
        return None

    def select(self, parents: Tensor) -> "DecoderState":
        """Reorder beams: the new beam k of sentence b continues `parents[b, k]`; parents [B, K']."""
        pick = picker(parents, self.feed.shape[1])
        return replace(self, layers=mapped(pick, self.layers), feed=pick(self.feed), attention=pick(self.attention))

    def take(self, sentences: Tensor) -> "DecoderState":
        """Keep `sentences` [B'], in this order."""
        taken = super().take(sentences)
        return replace(taken, attention=taken.attention[:, :, : taken.memory.size])


class RecurrentDecoder(nn.Module):
    """The default decoder, without input feeding (the shape of GNMT: Wu et al., 2016, sec. 3).

    The first layer runs over the whole shifted target; its outputs query the attention for all steps at once; the
    context joins the input of every further layer and of the readout, tanh(W [h; context]). Without attention
    (`NoAttention`) a context has no cells, and this is the plain decoder of Sutskever et al. (2014).

    `dropouts` work on what every layer but the first reads from the layer below it: they are one fewer than layers.
    """

    def __init__(
        self,
        *,
        recurrence: Recurrence,
        sizes: DecoderSizes,
        attention: Attention,
        residual: int,
        dropouts: Sequence[Dropout],
        readout_dropout: Dropout,
        init: DecoderInit = "bridge",
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.residual = residual
        """The number of the lowest layer, counted from 1, that adds its input to its output; 0: there is none."""
        self.attention = attention
        hidden = sizes.hidden
        self.first = make_layer(recurrence, input_size=sizes.embedding + self._fed(), hidden_size=hidden)
        read = hidden + attention.context_size
        self.upper = nn.ModuleList(make_layer(recurrence, input_size=read, hidden_size=hidden) for _ in dropouts)
        parts, layers = self.first.state_parts, 1 + len(dropouts)
        self.bridges = make_init(init, memory_size=sizes.memory, hidden_size=hidden, state_parts=parts, layers=layers)
        """What makes each layer's first state from the encoder's last."""
        self.readout = Linear(read, sizes.features)
        self.dropouts = nn.ModuleList(dropouts)
        self.readout_dropout = readout_dropout

    def forward(self, embedded: Tensor, memory: Memory) -> Tensor:
        """Run over whole targets [B, T, E]; return the features that the output layer scores, [B, T, F]."""
        return self.read(embedded, memory)[0]

    def read(self, embedded: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Run over whole targets [B, T, E]; return the features, [B, T, F], and the attention's weights, [B, T, S]."""
        first, *upper = self._initial(memory)
        h = self.first(embedded, first)  # [B, T, H]
        context, weights = self.attention(h, memory)  # [B, T, H], [B, T, S]
        for i, (layer, dropout, state) in enumerate(zip(self.upper, self.dropouts, upper, strict=True), start=1):
            y = layer(torch.cat([dropout(h), context], dim=2), state)
            h = h + y if 0 < self.residual <= i + 1 else y
        return self._features(self.readout_dropout(torch.cat([h, context], dim=2))), weights

    def start(self, memory: Memory) -> DecoderState:
        """Return the state before the first step, with one beam a sentence."""
        layers = tuple(tuple(part[:, None] for part in state) for state in self._initial(memory))
        summary, (batch, size) = memory.summary, memory.mask.shape
        feed = summary.new_zeros(batch, 1, self._fed())
        attention = summary.new_zeros(batch, 1, size, dtype=torch.float32)
        hidden, weights, masks = self.sizes.hidden, [self.first.weights()], []
        for layer, dropout in zip(self._upper_layers(), self.dropouts, strict=True):  # in the order of `read`
            masks.append(cast(Dropout, dropout).draw(batch, hidden, like=summary))
            weights.append(layer.weights())
        masks.append(self.readout_dropout.draw(batch, hidden + self.attention.context_size, like=summary))
        return DecoderState(Memories((memory,)), layers, feed, attention, tuple(weights), tuple(masks))

    def step(self, embedded: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Make one step for K beams a sentence: embedded [B, K, E]; return features [B, K, F] and the next state."""
        inputs = torch.cat([embedded, state.feed], dim=2) if self._fed() else embedded
        layers = [_step(self.first, inputs, state.layers[0], state.weights[0])]
        h = self.first.output(layers[0])  # [B, K, H]
        context, attention = self.attention.read(h, state.memory)  # [B, K, H], [B, K, S]
        for i, layer in enumerate(self._upper_layers(), start=1):
            below = _drop(self.dropouts[i - 1], h, state.masks[i - 1])
            layers.append(_step(layer, torch.cat([below, context], dim=2), state.layers[i], state.weights[i]))
            y = layer.output(layers[i])
            h = h + y if 0 < self.residual <= i + 1 else y
        features = self._features(_drop(self.readout_dropout, torch.cat([h, context], dim=2), state.masks[-1]))
        feed = features[:, :, : self._fed()]
        return features, replace(state, layers=tuple(layers), feed=feed, attention=attention)

    def _upper_layers(self) -> list[RecurrentLayer]:
        return [cast(RecurrentLayer, layer) for layer in self.upper]

    def _fed(self) -> int:
        """How much of the last attentional vector the next step reads."""
        return 0

    def _initial(self, memory: Memory) -> list[State]:
        return cast(list[State], self.bridges(memory.summary))

    def _features(self, read: Tensor) -> Tensor:
        return torch.tanh(self.readout(read))


class InputFeedingDecoder(RecurrentDecoder):
    """The decoder that also reads its last attentional vector (Luong et al., 2015, sec. 3.3): one step at a time."""

    def forward(self, embedded: Tensor, memory: Memory) -> Tensor:
        """Run over whole targets [B, T, E]; return the features, [B, T, F].

        In training on a GPU all steps are recorded: they find drawn what they drop, and cast what they multiply with.
        """
        if not is_recorded(embedded, *self.parameters()):
            return super().forward(embedded, memory)
        narrowed, state = self._narrowing(embedded), self.start(memory.padded())  # of fewer shapes
        masks = self._masks_of_all(state, shape=embedded.shape[:2], like=memory.summary)
        state = replace(state, weights=mapped(narrowed, state.weights), masks=masks)
        tensors = tensors_of(state)
        steps = _Steps(self, with_tensors(state, [tensor.new_empty(0) for tensor in tensors]))
        names = [name for name, _ in steps.named_parameters() if name.startswith(_IN_STEPS)]
        parameters = [narrowed(steps.get_parameter(name)) for name in names]

        def compute(embedded: Tensor, *given: Tensor) -> Tensor:
            replaced = dict(zip(names, given[len(tensors) :], strict=True))
            return cast(Tensor, functional_call(steps, replaced, (embedded, *given[: len(tensors)])))

        return recomputed(weakref.ref(self), compute, embedded, *tensors, *parameters)

    def read(self, embedded: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Run over whole targets [B, T, E], step by step; return features [B, T, F] and attention weights [B, T, S]."""
        state, features, weights = self.start(memory), [], []
        for t in range(embedded.shape[1]):
            feature, state = self.step(embedded[:, t : t + 1], state)
            features.append(feature)
            weights.append(state.attention)
        return torch.cat(features, dim=1), torch.cat(weights, dim=1)

    def _masks_of_all(self, state: DecoderState, *, shape: Sequence[int], like: Tensor) -> tuple[Tensor | None, ...]:
        """Return the masks of all steps, [B, T, *], drawn here unless steps share them; `shape` is [B, T]."""
        dropouts = [cast(Dropout, dropout) for dropout in (*self.dropouts, self.readout_dropout)]
        widths = [self.sizes.hidden] * len(dropouts)
        widths[-1] += self.attention.context_size
        return tuple(
            dropout.mask((*shape, width), like=like) if mask is None else mask.expand(*shape, width)
            for dropout, width, mask in zip(dropouts, widths, state.masks, strict=True)
        )

    def _narrowing(self, like: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what casts parameters as autocast would where `like` is."""
        device, wide = like.device.type, wide_parameters(self)
        if not torch.is_autocast_enabled(device):
            return lambda weight: weight
        kind = torch.get_autocast_dtype(device)
        return lambda weight: weight if id(weight) in wide else weight.to(kind)

    def _fed(self) -> int:
        return self.sizes.features


_IN_STEPS: Final = ("decoder.attention.", "decoder.readout.")
"""Parameters that a step has from modules: those of layers are in the state."""


class _Steps(nn.Module):
    """All steps of a decoder from a state that is `like` another, as a function of tensors."""

    def __init__(self, decoder: InputFeedingDecoder, like: DecoderState) -> None:
        super().__init__()
        self.decoder = decoder
        self.like = like

    def forward(self, embedded: Tensor, *given: Tensor) -> Tensor:
        """Run over whole targets [B, T, E]; the masks of the state are those of all steps, [B, T, *]."""
        state, features = with_tensors(self.like, given), list[Tensor]()
        masks = state.masks
        for t in range(embedded.shape[1]):
            here = tuple(None if mask is None else mask[:, t : t + 1] for mask in masks)
            feature, state = self.decoder.step(embedded[:, t : t + 1], replace(state, masks=here))
            features.append(feature)
        return torch.cat(features, dim=1)


def _step(layer: RecurrentLayer, inputs: Tensor, state: State, weights: Weights) -> State:
    """Step all beams of all sentences as rows of one matrix: inputs [B, K, I], state parts [B, K, H]."""
    batch, beams, _ = inputs.shape
    rows = layer.step(inputs.flatten(0, 1), tuple(part.flatten(0, 1) for part in state), weights=weights)
    return tuple(part.view(batch, beams, -1) for part in rows)


def _drop(dropout: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Drop cells of `x`, [B, K, H], by the sequence's own mask or else by a fresh one."""
    return x * mask if mask is not None else dropout(x)
