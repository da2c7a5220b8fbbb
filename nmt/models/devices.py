"""Where and in which arithmetic to compute, and a trained model made ready for search there."""

import copy
import ctypes
import os
import warnings
from collections.abc import Callable
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from nmt.errors import ConfigError, NmtWarning, counted
from nmt.models.cells.layer import PrepackedLayer, RecurrentLayer, wide_parameters
from nmt.models.decoder import InputFeedingDecoder
from nmt.models.embedding import Dropout, WordEmbedding
from nmt.models.fused_layers import has_bf16_layers, set_tf32
from nmt.models.kernels import cpu_has, int8_instructions
from nmt.models.language_model import LanguageModel
from nmt.models.prepacked import LINEAR, PrepackedLinear, SearchPrecision
from nmt.models.seq2seq import Seq2Seq

Precision = Literal["fp32", "bf16", "fp16"]
M = TypeVar("M", bound=Seq2Seq | LanguageModel)

_LARGEST_TABLE = 2**24
"""Numbers in a table of what a layer makes of pieces, at most: 64 MiB, which hold 8,000 pieces of 512 LSTM cells."""

_PRIMITIVES = "256"
"""Pieces of code that oneDNN keeps: a sixth to a quarter of a MiB for each shape of an LSTM."""
_WORKSPACE = ":4096:8"
"""Eight pieces of 4,096 KiB, with which cuBLAS sums in the same order each time."""
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
"""Parameters of mallopt(3), in bytes but for the last."""


def choose_device(name: Literal["auto", "cpu", "cuda"], *, index: int = 0) -> torch.device:
    """Resolve "auto" to a GPU if there is one, that of this `index`, or the only one that this process is to see; a GPU
    that is not there is a ConfigError."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError('device "cuda" was requested, but torch finds no GPU; use "cpu" or "auto"')
    count = torch.cuda.device_count()
    if count == 1 and "," not in os.environ.get("CUDA_VISIBLE_DEVICES", ","):  # whoever started it gave it its own
        index = 0
    if index >= count:
        raise ConfigError(f"process {index} of this machine finds only {counted(count, 'GPU')}; start fewer")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def choose_training_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """Resolve "auto" as `choose_precision` does; fp16 is for GPUs and for those who ask for it."""
    if name != "fp16":
        return choose_precision(name, device)
    if device.type == "cuda":
        return "fp16"
    nearest = choose_precision("auto", device)
    _warn(f'precision "fp16" is for GPUs; using "{nearest}"')
    return nearest


def choose_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolve "auto" to bf16 where the hardware multiplies it natively; elsewhere bf16 is fp32, with a warning."""
    if name == "fp32":
        return "fp32"
    if has_bf16(device):
        if device.type == "cuda" and not has_bf16_layers():
            _warn("lstm, gru and rnn layers compute in fp32: in bf16 they need cuDNN 9.13 and torch 2.10, or newer")
        return "bf16"
    if name == "bf16":
        what = "GPU" if device.type == "cuda" else "processor"
        _warn(f'precision "bf16" needs a {what} that multiplies it, which this one does not; using "fp32"')
    return "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which matrix products run in `precision`."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=precision != "fp32")


def choose_search_precision(name: Literal["auto", "fp32", "bf16", "int8"], device: torch.device) -> SearchPrecision:
    """Resolve "auto" to the fastest that loses nothing measurable: 8-bit integers on most CPUs (docs/decisions/0021),
    elsewhere what `choose_precision` says.

    Where the hardware lacks what is requested, the nearest is used, with a warning.
    """
    integers = device.type == "cpu" and cpu_has("int8")
    if name in ("auto", "int8") and integers:
        return "int8"
    if name != "int8":
        return choose_precision(name, device)
    nearest = choose_precision("auto", device)
    lacks = "is for CPUs" if device.type == "cuda" else "needs a processor with AVX2, which this one lacks"
    _warn(f'precision "int8" {lacks}; using "{nearest}"')
    return nearest


def why_auto(device: torch.device) -> str:
    """Say in a line which search precision "auto" is on a device, and why."""
    chosen = choose_search_precision("auto", device)
    if chosen == "fp32":
        return 'precision "auto" is fp32 here: nothing that is faster is known of this machine'
    what = "GPU" if device.type == "cuda" else "AVX-512 VNNI" if int8_instructions() == "vnni" else "AVX2"
    return f'precision "auto" is {chosen} here: the fastest that loses nothing measurable ({what})'


def prepare_for_training(device: torch.device, precision: Precision) -> None:
    """Set what makes training faster in this whole process, and on a GPU what makes its steps repeatable.

    On a GPU, the fp32 products that autocast leaves are computed in TF32; without it, fp32 is fp32; and cuBLAS, which
    cuDNN calls for recurrent layers, has memory of a fixed size for each stream. On a CPU, torch has one thread, as one
    of several would be waited for after every operation; and glibc keeps freed blocks instead of handing them back to
    the kernel, which would zero them page by page: every step frees and takes the same ones, in whichever thread. Other
    allocators are left as they are. oneDNN keeps code for the shapes of a few steps only.
    """
    if device.type == "cuda":
        set_tf32(precision != "fp32")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _WORKSPACE)  # read once, at the first product
    else:
        torch.set_num_threads(1)
        # torch hides the call for it, and this is read once, at the first product
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _PRIMITIVES)
        _keep_freed_blocks()


def give_back_memory() -> None:
    """Give freed blocks back to the kernel, where glibc keeps them.

    Batches differ in shape, so what is kept for one does not fit the next, and grows for hours. It takes as long as
    one update of a small model.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _keep_freed_blocks() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for threshold in (2**30, 2**25):  # an older glibc takes no more than the second
        if mallopt(_M_MMAP_THRESHOLD, threshold):
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_TOP_PAD, 2**28)
            mallopt(_M_ARENA_MAX, 1)  # blocks of other arenas end at 64 MiB, and what is larger is mapped anew
            return


def prepare_for_search(device: torch.device) -> None:
    """Set what makes search faster in this whole process, and what makes its results independent of how it is shared.

    On a CPU, one thread: with several the libraries cut sums where the size of a batch suggests it. On a GPU, fp32 is
    fp32, in cuDNN too.
    """
    if device.type == "cuda":
        set_tf32(False)
    else:
        torch.set_num_threads(1)
        _keep_freed_blocks()


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16 natively, as far as torch is allowed to use it (ATEN_CPU_CAPABILITY)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has("bf16")


def _warn(message: str) -> None:
    warnings.warn(message, NmtWarning, stacklevel=3)


def for_search(model: M, precision: SearchPrecision, *, device: torch.device) -> M:
    """Make a model ready for search on its device: prepacked on a CPU, in the library's own layers on a GPU."""
    if device.type == "cpu":
        return for_inference(model, precision)
    return for_gpu(model, "bf16" if precision == "bf16" else "fp32")


def for_gpu(model: M, precision: Precision) -> M:
    """Make a model ready for search on a GPU: in fp32 as it is, else with autocast around a copy of narrow weights.

    Autocast forgets what it has cast wherever it ends, so every step would cast all weights of the decoder anew. Those
    that no product multiplies stay as they are, and so do the types of all else.
    """
    model.eval()
    if precision == "fp32":
        return model
    inner = _narrowed(model, autocast(model.device, precision).fast_dtype)

    def cast(call: Callable[..., object]) -> Callable[..., object]:
        def called(*args: object, **kwargs: object) -> object:
            with autocast(inner.device, precision):  # one for each call: it holds what was set before
                return call(*args, **kwargs)

        return called

    searched = copy.copy(inner)
    for call in ("encode", "start", "step", "features") if isinstance(model, Seq2Seq) else ("start", "step"):
        setattr(searched, call, cast(getattr(inner, call)))
    return searched


def _narrowed(model: M, kind: torch.dtype) -> M:
    """Copy a model, with all weights that autocast would cast in the type that it would cast them to; what lies in one
    piece, as the weights of a layer do, does so then too."""
    wide, pieces = wide_parameters(model), dict[int, Tensor]()

    def narrowed(weight: Tensor) -> Tensor:
        piece = weight.untyped_storage()
        if piece._cdata not in pieces:
            numbers = piece.nbytes() // weight.itemsize
            pieces[piece._cdata] = weight.detach().as_strided((numbers,), (1,), 0).to(kind)
        return pieces[piece._cdata].as_strided(weight.shape, weight.stride(), weight.storage_offset())

    narrow: dict[int, object] = {
        id(weight): nn.Parameter(narrowed(weight), requires_grad=False)
        for weight in model.parameters()
        if id(weight) not in wide and weight.device.type == model.device.type  # on a CPU beside a GPU is no autocast
    }
    copied = copy.deepcopy(model, memo=narrow)
    copied.requires_grad_(False)
    return copied


def for_inference(model: M, precision: SearchPrecision) -> M:
    """Copy a model, with every linear and recurrent layer replaced by its prepacked form.

    Whatever else the model does stays as it is, so the result encodes and steps as `model` does in evaluation mode, up
    to rounding; it cannot be trained. On a CPU, and with one thread, what it computes for a sentence does not depend on
    the batch, to the last bit (docs/decisions/0010).
    """
    bounded = _bounded_readers(model)
    # what is replaced is left out of the copy
    replaced: dict[int, object] = {
        id(module): LINEAR[precision](module.weight, module.bias, bounded=module in bounded)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    }
    replaced |= {
        id(layer): layer.prepacked(precision) for layer in model.modules() if isinstance(layer, RecurrentLayer)
    }
    copied = copy.deepcopy(model, memo=replaced)
    copied.eval().requires_grad_(False)
    if isinstance(copied, Seq2Seq):
        _look_up_products(copied)
    return copied


def _look_up_products(model: Seq2Seq) -> None:
    """Put what the decoder's first layer multiplies the vector of each piece to in the place of these vectors, where it
    reads nothing else and memory allows. The products have the same bits as those of a step would."""
    first, embedding = model.decoder.first, model.tgt_embedding
    if not isinstance(first, PrepackedLayer) or isinstance(model.decoder, InputFeedingDecoder):
        return
    product = first.projection
    if isinstance(product, PrepackedLinear) and embedding.table.num_embeddings * product.out_features <= _LARGEST_TABLE:
        table = _Products(embedding, product)
        model.tgt_embedding = WordEmbedding(table, dropout=Dropout(0.0), word_dropout=0.0).eval()
        first.projection = nn.Identity()


class _Products(nn.Embedding):
    """What a layer makes of the vectors of pieces, each computed when it is first looked up: all would take longer than
    a sentence. Threads may look up at once: they write the same numbers, and a piece is known once they are there."""

    def __init__(self, vectors: WordEmbedding, product: PrepackedLinear) -> None:
        shape = (vectors.table.num_embeddings, product.out_features)
        super().__init__(*shape, _weight=torch.empty(shape), _freeze=True)
        self._vectors, self._product = vectors, product
        self._known = torch.zeros(len(self.weight), dtype=torch.bool)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids [*]: [*, O]."""
        known = self._known.take(ids)
        if not bool(known.all()):
            missing = ids[~known]
            self.weight[missing] = self._product(self._vectors(missing))
            self._known[missing] = True
        return super().forward(ids)


def _bounded_readers(model: Seq2Seq | LanguageModel) -> set[nn.Module]:
    """Find the linear layers whose inputs all lie in [-1, 1]."""
    if isinstance(model, LanguageModel):
        top, residual, always = model.layers[-1], model.residual, set[nn.Module]()
        reader = model.output if isinstance(model.readout, nn.Identity) else model.readout
    else:
        decoder = model.decoder
        top, residual, always = decoder.first, decoder.residual, {model.output}  # which reads a tanh
        reader = decoder.readout
        if decoder.attention.context_size and not cast(RecurrentLayer, model.encoder.forward_layers[-1]).bounded:
            return always  # contexts are means of what the encoder puts out
    return always | {reader} if cast(RecurrentLayer, top).bounded and not residual else always
