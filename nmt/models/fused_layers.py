"""Recurrent layers that torch computes over whole sequences: cuDNN's on a GPU, in types and pieces of memory that it
takes as they are, and oneDNN's on a CPU."""

import warnings
from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.torch_version import TorchVersion

from nmt.models.kernels import find, without_autocast

Fused = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
"""Recurrent layers that torch computes over whole sequences in one call."""

CUDNN: Final = "cuda"
"""The devices whose recurrent layers are cuDNN's."""


def fused_layer(
    name: Fused,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    training: bool,
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Run one layer with biases in one direction over whole sequences by cuDNN or oneDNN.

    Autocast lets cuDNN compute in float16, whatever type it is asked for (docs/decisions/0027): on a GPU the types are
    chosen here.

    Args:
        inputs: [B, T, I]; or, with `batch_sizes`, the data of a packed sequence, [N, I].
        state: The state before the first step, parts [B, H].
        weights: Of inputs and of the state, [G * H, *], and the bias of each.
        training: Gradients are needed.
        batch_sizes: Rows of each step of a packed sequence, [T].

    Returns:
        The outputs, [B, T, H] or [N, H], and the parts of the last state, [B, H].
    """
    if inputs.device.type != CUDNN:
        return _fused_layer(name, inputs, state, weights, training, batch_sizes)
    device, asked = inputs.device.type, weights[0].dtype
    if torch.is_autocast_enabled(device):
        asked = torch.get_autocast_dtype(device)
    kind = torch.float32 if asked == torch.bfloat16 and not has_bf16_layers() else asked
    with without_autocast(inputs):
        first, whole = [part.to(kind) for part in state], in_one_piece(weights, kind)
        found = _fused_layer(name, inputs.to(kind), first, whole, training, batch_sizes)
    return tuple(part.to(asked) for part in found)


def _fused_layer(
    name: Fused,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Tensor],
    training: bool,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, ...]:
    run = find(name)
    if run is None:
        steps = inputs.unbind(1) if batch_sizes is None else torch.split(inputs, batch_sizes.tolist())
        last, outputs = tuple(state), []
        for rows in steps:  # of a packed sequence fewer and fewer rows go on
            new = fused_step(name, rows, [part[: len(rows)] for part in last], weights)
            last = tuple(torch.cat([after, before[len(rows) :]]) for after, before in zip(new, last, strict=True))
            outputs.append(new[0])
        return torch.stack(outputs, dim=1) if batch_sizes is None else torch.cat(outputs), *last
    first = [part.unsqueeze(0).contiguous() for part in state]  # [1, B, H]
    hx = first if name == "lstm" else first[0]
    # biases, layers, dropout between layers, training, two directions: what nn.LSTM and the others would say
    flags = (True, 1, 0.0, training, False)
    sequences = (inputs, hx, weights, *flags, True)
    output, *parts = run(*sequences) if batch_sizes is None else run(inputs, batch_sizes, hx, weights, *flags)
    return output, *(part.squeeze(0) for part in parts)


def fused_step(name: Fused, inputs: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Make one step of such a layer: inputs [B, I], state parts [B, H]; return the new state."""
    step = find(f"{name}_cell")
    if step is not None:
        new = step(inputs, tuple(state) if name == "lstm" else state[0], *weights)
        return tuple(new) if name == "lstm" else (new,)
    input_weight, recurrent_weight, input_bias, recurrent_bias = weights
    projected = functional.linear(inputs, input_weight, input_bias)
    recurrent = functional.linear(state[0], recurrent_weight, recurrent_bias)
    if name == "lstm":
        i, f, g, o = (projected + recurrent).chunk(4, dim=1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    if name == "gru":
        (r, z, n), (from_r, from_z, from_n) = projected.chunk(3, dim=1), recurrent.chunk(3, dim=1)
        candidate = torch.tanh(n + torch.sigmoid(r + from_r) * from_n)
        return (torch.lerp(candidate, state[0], torch.sigmoid(z + from_z)),)
    squash = torch.tanh if name == "rnn_tanh" else torch.relu
    return (squash(projected + recurrent),)


def has_bf16_layers() -> bool:
    """Whether recurrent layers on a GPU are computed in bf16 by cuDNN: else torch does it step by step."""
    cudnn: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return (cudnn or 0) >= 91300 and TorchVersion(torch.__version__) >= "2.10"


def in_one_piece(weights: Sequence[Tensor], kind: torch.dtype) -> Sequence[Tensor]:
    """Return the weights of a layer in a type, one behind the other in memory, where cuDNN takes them as they are;
    others torch would copy there in every call, with a warning."""
    pieces = {weight.untyped_storage()._cdata for weight in weights}
    if len(pieces) == 1 and all(weight.dtype == kind for weight in weights):
        return weights
    return _InOnePiece.apply(kind, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _InOnePiece(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.kinds = [weight.dtype for weight in weights]
        sizes = [weight.numel() for weight in weights]
        pieces = torch.split(weights[0].new_empty(sum(sizes), dtype=kind), sizes)
        placed = [piece.view(weight.shape) for piece, weight in zip(pieces, weights, strict=True)]
        copy_all = find("_foreach_copy_")
        if copy_all is not None:
            copy_all(placed, weights)  # and cast, in one kernel
        else:
            for piece, weight in zip(placed, weights, strict=True):
                piece.copy_(weight)
        return tuple(placed)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(grad.to(kind) for grad, kind in zip(outer, ctx.kinds, strict=True))


def set_tf32(allowed: bool) -> None:
    """Let a GPU round the factors of fp32 products to TF32's ten bits, in recurrent layers too, or not."""
    with warnings.catch_warnings():  # some versions want newer switches here, which leave these unset
        warnings.simplefilter("ignore")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
