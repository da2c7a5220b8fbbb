"""Models for the search on a GPU: they compute what autocast would, and cast no weight while they do."""

from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nmt.batching import SourceBatch
from nmt.config.model import Cell
from nmt.models.devices import for_gpu, for_search
from nmt.models.language_model import LanguageModel
from tests.nmt.models.test_for_search import SHAPES, model_of, text_model_of

GPU = torch.device("cuda")  # the weights stay on the CPU here


@pytest.mark.needs("bf16")
def test_on_a_gpu_models_keep_their_layers_and_multiply_in_the_precision_asked_for() -> None:
    text_model, model = text_model_of(), model_of(40, hidden_size=32)
    assert for_search(text_model, "fp32", device=GPU) is text_model
    searched, translating = for_search(text_model, "bf16", device=GPU), for_search(model, "bf16", device=GPU)
    with torch.inference_mode():
        src = SourceBatch(torch.tensor([[5, 6]]), torch.tensor([2]))
        assert translating.encode(src).summary.dtype == torch.bfloat16
        assert model.encode(src).summary.dtype == torch.float32
        logits, after = searched.step(torch.tensor([[5], [6]]), searched.start(2))
        expected, _ = text_model.step(torch.tensor([[5], [6]]), text_model.start(2))
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.1)
    assert {part.dtype for state in after.layers for part in state} == {torch.float32}


class Casts(TorchDispatchMode):
    """Notes what is cast from one type to another."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[torch.Size] = set()

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            self.shapes.add(made.shape)
        return made


@pytest.mark.needs("bf16")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_for_a_gpu_computes_what_autocast_would_and_casts_no_weight_in_a_step(shape: str) -> None:
    vocab_size, changes = SHAPES[shape]
    model = model_of(vocab_size, **changes)
    searched = for_search(model, "bf16", device=GPU)
    ids, src = torch.tensor([[5], [7]]), SourceBatch(torch.tensor([[5, 6, 1], [9, 1, 0]]), torch.tensor([3, 2]))
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            expected, state = model.step(ids, model.start(model.encode(src)))
            expected_next, _ = model.step(ids, state)
        logits, state = searched.step(ids, searched.start(searched.encode(src)))
        with Casts() as casts:
            logits_next, _ = searched.step(ids, state)
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(logits_next, expected_next, rtol=0.02, atol=0.02)
    assert not casts.shapes & {weight.shape for weight in model.parameters()}


def test_a_model_for_a_gpu_shares_the_tables_that_were_shared_and_keeps_nothing_of_the_other() -> None:
    model = model_of(40, hidden_size=32, embedding_size=32, cell="peephole_lstm")
    searched = for_search(model, "bf16", device=GPU)
    assert searched.output.weight is searched.tgt_embedding.table.weight
    kinds = {name.rpartition(".")[2]: weight.dtype for name, weight in searched.named_parameters()}
    assert {name for name, kind in kinds.items() if kind == torch.float32} == {"peepholes"}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert for_gpu(model, "fp16").output.weight.dtype == torch.float16


@pytest.mark.needs("bf16")
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole_lstm", "ssru"])
def test_a_text_model_for_a_gpu_reads_as_autocast_would_and_casts_no_weight(cell: Cell) -> None:
    model, ids = text_model_of(cell=cell), torch.tensor([[5, 7, 9]])
    searched = for_search(model, "bf16", device=GPU)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, _ = model(ids)
        with Casts() as casts:
            features, _ = searched(ids)
    torch.testing.assert_close(features.float(), expected.float(), rtol=0.02, atol=0.02)
    assert not casts.shapes & {weight.shape for weight in model.parameters()}


def test_weights_that_lie_in_one_piece_do_so_in_a_model_for_a_gpu() -> None:
    layer = nn.LSTM(3, 4)
    buffer = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
    pieces = torch.split(buffer, [weight.numel() for weight in layer.parameters()])
    for weight, piece in zip(layer.parameters(), pieces, strict=True):
        weight.data = piece.view(weight.shape)
    model = text_model_of()
    model.layers.append(layer)
    narrow = list(cast(nn.LSTM, for_gpu(model, "bf16").layers[-1]).parameters())
    assert len({weight.untyped_storage().data_ptr() for weight in narrow}) == 1
    assert torch.equal(torch.cat([weight.flatten() for weight in narrow]), buffer.bfloat16())


def test_parts_of_a_model_that_are_elsewhere_keep_their_types() -> None:
    model = model_of(40, hidden_size=32, tied_embeddings="none")
    model.src_embedding.to("meta")
    searched = for_gpu(model, "bf16")
    assert searched.src_embedding.table.weight.dtype == torch.float32
    assert searched.tgt_embedding.table.weight.dtype == torch.bfloat16


def test_calls_of_a_model_for_a_gpu_within_one_another_leave_autocast_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LanguageModel, "start", lambda model: searched.step())
    monkeypatch.setattr(LanguageModel, "step", lambda model: torch.is_autocast_enabled("cpu"))
    searched = for_search(text_model_of(), "bf16", device=GPU)
    assert searched.start()  # type: ignore[call-arg]
    assert not torch.is_autocast_enabled("cpu")
