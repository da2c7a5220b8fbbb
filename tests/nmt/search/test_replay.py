"""Replayed steps against steps made one by one; without a GPU a tape stands in for a CUDA graph."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from nmt.config import ModelSettings, SearchSettings
from nmt.models.build import build_language_model, build_model
from nmt.models.devices import for_search
from nmt.models.language_model import LanguageModel
from nmt.models.recording import CudaGraphs, Work
from nmt.models.seq2seq import Seq2Seq
from nmt.models.tensors import tensors_of, with_tensors
from nmt.search.combined import Ensemble, FusedModel
from nmt.search.engine import Engine, Kind, start_of
from nmt.search.neighbours import Neighbour, NeighbourModel, Vote
from nmt.search.protocol import Hypothesis, Sentence
from nmt.search.replay import Replayed
from nmt.search.sampling import Sampling


class Pair(NamedTuple):
    total: Tensor
    count: Tensor


@dataclass(frozen=True)
class Value:
    name: str
    pair: Pair
    layers: tuple[tuple[Tensor, ...], ...]
    missing: Tensor | None = None


def value_of(*numbers: float, name: str = "a") -> Value:
    one, two, *layers = (torch.tensor([number], dtype=torch.float32) for number in numbers)
    return Value(name, Pair(one, two), (tuple(layers), ()))


def numbers_in(value: Value) -> list[float]:
    return [tensor.item() for tensor in tensors_of(value)]


def advanced(value: Value) -> Value:
    """Swap the pair, and count in the layers."""
    total, count = value.pair
    return replace(value, pair=Pair(count, total), layers=tuple(tuple(x + 1 for x in row) for row in value.layers))


def test_tensors_are_found_and_replaced_in_the_order_of_the_fields() -> None:
    value = value_of(1.0, 2.0, 3.0, 4.0)
    assert numbers_in(value) == [1.0, 2.0, 3.0, 4.0]
    other = with_tensors(value, [torch.tensor([n]) for n in (5.0, 6.0, 7.0, 8.0)])
    assert isinstance(other.pair, Pair)
    assert (other.name, other.missing) == ("a", None)
    assert numbers_in(other) == [5.0, 6.0, 7.0, 8.0]
    assert numbers_in(value) == [1.0, 2.0, 3.0, 4.0]


def test_the_third_value_of_a_shape_is_recorded_and_the_fourth_replayed(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    seen = []
    for n in range(5):
        value = go_on(value_of(n, 10.0 + n, 0.5, name=str(n)))
        seen.append((value.name, numbers_in(value), recordings.made, recordings.played))
    assert seen == [
        ("0", [10.0, 0.0, 1.5], 0, 0),
        ("1", [11.0, 1.0, 1.5], 0, 0),
        ("2", [12.0, 2.0, 1.5], 1, 0),
        ("3", [13.0, 3.0, 1.5], 1, 1),
        ("4", [14.0, 4.0, 1.5], 1, 2),
    ]


def test_what_was_made_can_be_advanced_again_as_it_is(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    value = value_of(1.0, 2.0, 3.0)
    for n in range(1, 7):
        value = go_on(value)
        assert numbers_in(value) == [*((2.0, 1.0) if n % 2 else (1.0, 2.0)), 3.0 + n]


def test_a_value_that_was_given_is_not_written_to(recordings: Any) -> None:
    go_on = Replayed(advanced, recordings)
    values = [value_of(n, n, n) for n in range(5)]
    for value in values:
        go_on(value)
    assert [numbers_in(value) for value in values] == [[n, n, n] for n in range(5)]


def test_weights_are_not_copied(recordings: Any) -> None:
    weight = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
    go_on: Replayed[tuple[Tensor, Tensor]] = Replayed(lambda both: (both[0] * both[1], both[1]), recordings)
    for number in (1.0, 2.0, 3.0, 4.0):
        product, kept = go_on((torch.tensor([number]), weight))
        assert product.item() == 2 * number
        assert kept is weight


def test_each_shape_has_its_recording_and_the_one_not_met_for_longest_goes(recordings: Any) -> None:
    go_on = Replayed(lambda x: x + 1, recordings)
    for size in (*range(32), *range(32), *range(32), 0, 31):
        assert torch.equal(go_on(torch.zeros(size)), torch.ones(size))
    assert (recordings.made, recordings.played) == (32, 2)
    go_on(torch.zeros(99))  # in place of 1
    go_on(torch.zeros(2))
    assert recordings.played == 3
    go_on(torch.zeros(1))
    assert (recordings.made, recordings.played) == (32, 3)


def test_a_step_that_changes_shapes_is_a_mistake_and_is_named(recordings: Any) -> None:
    go_on = Replayed(lambda x: torch.cat([x, x]), recordings)
    go_on(torch.zeros(3))
    go_on(torch.zeros(3))
    with pytest.raises(ValueError, match=r"^a step made torch.float32 \[6\] of torch.float32 \[3\]$"):
        go_on(torch.zeros(3))


@dataclass
class Stream:
    name: str
    asked: list[str]
    device: None = None

    def wait_stream(self, other: "Stream") -> None:
        self.asked.append(f"{self.name} waits for {other.name}")


@dataclass(eq=False)
class Graph:
    asked: list[str]

    def capture_begin(self, pool: str, capture_error_mode: str) -> None:
        self.asked.append(f"begin {pool} {capture_error_mode}")

    def capture_end(self) -> None:
        self.asked.append("end")

    def replay(self) -> None:
        self.asked.append("replay")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let streams and graphs stand in for those of a GPU; what waits for all of it, or empties caches, is an error."""
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side", asked))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main", asked))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext(asked.append(f"on {stream.name}")))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(asked))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    for name in ("synchronize", "empty_cache", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *given, _name=name, **more: pytest.fail(f"{_name} was called"))
    return asked


def test_recording_neither_waits_for_the_device_nor_empties_caches(asked: list[str]) -> None:
    CudaGraphs()(partial(asked.append, "work"))()
    recording = ["begin pool thread_local", "work", "end"]
    assert asked == ["side waits for main", "on side", "work", *recording, "main waits for side", "replay"]


def test_work_for_whose_recording_there_is_no_memory_is_done_again_without_one(asked: list[str]) -> None:
    graphs = CudaGraphs()

    def work() -> None:
        asked.append("work")
        if asked[-2].startswith("begin"):
            raise torch.OutOfMemoryError

    again = graphs(work)
    assert asked[-3:] == ["work", "end", "main waits for side"]
    again()
    assert asked[-1] == "work"
    assert graphs._latest is not None  # nothing could be recorded into memory that no graph uses any more


def test_other_errors_while_work_is_recorded_are_told(asked: list[str]) -> None:
    def work() -> None:
        if asked[-1].startswith("begin"):
            raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        CudaGraphs()(work)
    assert asked[-1] == "end"


def test_the_latest_graph_is_kept_so_that_others_can_be_recorded_into_its_memory(asked: list[str]) -> None:
    graphs, alive = CudaGraphs(), []
    for _ in range(2):
        replay: Any = graphs(lambda: None)
        alive.append(weakref.ref(replay.__self__))
    del replay
    assert [graph() is not None for graph in alive] == [False, True]


VOCAB = 40
SOURCES = [[4 + (7 * n + m) % 30 for m in range(2 + 5 * n % 11)] for n in range(48)]

KINDS = {
    "greedy": (SearchSettings(beam_size=1), Kind()),
    "beam": (SearchSettings(beam_size=4), Kind(n_best=2)),
    "attention": (SearchSettings(beam_size=3, coverage_penalty=0.2), Kind(with_attention=True)),
    "rules": (SearchSettings(beam_size=3, no_repeat_ngram=2, min_length_ratio=0.5), Kind(with_prefixes=True)),
    "sampling": (SearchSettings(), Kind(n_best=2, sampling=Sampling())),
    "top-k": (SearchSettings(), Kind(sampling=Sampling(top_k=5, temperature=0.7))),
    "top-p": (SearchSettings(), Kind(sampling=Sampling(top_p=0.8))),
}
CELLS = {
    "lstm": ModelSettings(embedding_size=16, hidden_size=32, decoder_layers=2),
    "input feeding": ModelSettings(embedding_size=16, hidden_size=32, input_feeding=True, cell="gru"),
    "peepholes": ModelSettings(embedding_size=16, hidden_size=32, cell="peephole_lstm"),
    "layer norm": ModelSettings(embedding_size=16, hidden_size=32, cell="layer_norm_lstm"),
    "cho's gru": ModelSettings(embedding_size=16, hidden_size=32, cell="cho_gru"),
    "ssru": ModelSettings(embedding_size=16, hidden_size=32, cell="ssru", decoder_layers=2),
}


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    return model_of(CELLS["lstm"])


def model_of(settings: ModelSettings, seed: int = 3) -> Seq2Seq:
    return build_model(settings, src_vocab_size=VOCAB, tgt_vocab_size=VOCAB, joint=True, seed=seed).eval()


def language_model_of(settings: ModelSettings) -> LanguageModel:
    return build_language_model(settings, vocab_size=VOCAB, seed=5).eval()


def search(
    model: Any, settings: SearchSettings, kind: Kind, recorder: Any = None, sources: Sequence[Sequence[int]] = SOURCES
) -> list[list[Hypothesis]]:
    settings = settings.model_copy(update={"batch_tokens": 600})
    engine = Engine(model, start_of(settings, kind), batch_tokens=600, reverse_source=True, recorder=recorder)
    prefix = (5, 6) if kind.with_prefixes else ()
    waiting = [Sentence(tuple(ids), number, prefix=prefix[: number % 3]) for number, ids in enumerate(sources)]
    found: dict[int, list[Hypothesis]] = {}
    while waiting or engine.busy:
        if waiting and engine.hungry:
            engine.add([waiting.pop() for _ in range(min(9, len(waiting)))])
        found |= dict(engine.step())
    return [found[number] for number in range(len(sources))]


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[one.ids for one in row] for row in found] == [[one.ids for one in row] for row in expected]
    for row, others in zip(found, expected, strict=True):
        for one, other in zip(row, others, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert (one.attention is None) == (other.attention is None)
            if one.attention is not None and other.attention is not None:
                torch.testing.assert_close(one.attention, other.attention, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_every_search_that_is_replayed_finds_what_it_finds_step_by_step(
    model: Seq2Seq, recordings: Any, name: str
) -> None:
    found = search(model, *KINDS[name], recordings)
    assert recordings.played > 3
    assert_same(found, search(model, *KINDS[name]))


def test_all_cells_input_feeding_and_ensembles_are_replayed_too(recordings: Any) -> None:
    ensemble = Ensemble([model_of(settings) for settings in CELLS.values()])
    found = search(ensemble, *KINDS["beam"], recordings)
    assert recordings.played > 3
    assert_same(found, search(ensemble, *KINDS["beam"]))


def test_steps_beside_pairs_of_a_memory_are_replayed_too(model: Seq2Seq, recordings: Any) -> None:
    pairs = [Neighbour((5, 6, 7), (8, 9)), Neighbour((11,), (12, 13, 14))]
    beside = NeighbourModel(model, lambda ids: pairs[: len(ids) % 3], Vote(2, 0.5, None), reverse_source=True)
    found = search(beside, *KINDS["beam"], recordings)
    assert recordings.played > 3
    assert_same(found, search(beside, *KINDS["beam"]))


@pytest.mark.parametrize("cell", CELLS)
def test_pieces_that_a_language_model_has_a_say_in_are_replayed_too(model: Seq2Seq, recordings: Any, cell: str) -> None:
    fused = FusedModel(model, language_model_of(CELLS[cell]), weight=0.4)
    settings, kind = SearchSettings(beam_size=3), Kind(n_best=2, weighed=True)
    found = search(fused, settings, kind, recordings)
    assert recordings.played > 3
    assert_same(found, search(fused, settings, kind))


def test_what_pieces_are_required_is_known_on_the_host_so_that_search_is_not_recorded(
    model: Seq2Seq, recordings: Any
) -> None:
    found = search(model, SearchSettings(beam_size=3), Kind(constrained=True), recordings)
    assert (recordings.made, recordings.played) == (0, 0)
    assert_same(found, search(model, SearchSettings(beam_size=3), Kind()))


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@dataclass
class CountedGraphs:
    """CUDA graphs whose work may not wait for the device."""

    made: int = 0
    graphs: CudaGraphs = field(default_factory=CudaGraphs)

    def __call__(self, work: Work) -> Work:
        def watched() -> None:
            with waiting_is_an_error():
                work()

        self.made += 1
        return self.graphs(watched)


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("name", KINDS)
def test_cuda_graphs_find_what_is_found_on_a_cpu(model: Seq2Seq, name: str) -> None:
    on_gpu = model_of(CELLS["lstm"]).to("cuda")
    graphs = CountedGraphs()
    assert_same(search(on_gpu, *KINDS[name], graphs), search(model, *KINDS[name]))
    assert graphs.made > 0


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("cell", CELLS)
def test_cuda_graphs_of_bf16_arithmetic_give_a_translation_for_each_source(cell: str) -> None:
    gpu = torch.device("cuda")
    found = search(for_search(model_of(CELLS[cell]).to(gpu), "bf16", device=gpu), *KINDS["beam"], CudaGraphs())
    assert len(found) == len(SOURCES)


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("cell", CELLS)
def test_cuda_graphs_find_what_a_language_model_has_a_say_in(model: Seq2Seq, cell: str) -> None:
    fused = FusedModel(model, language_model_of(CELLS[cell]), weight=0.4)
    settings, kind = SearchSettings(beam_size=3), Kind(n_best=2, weighed=True)
    on_gpu = model_of(CELLS["lstm"]).to("cuda")
    fused_on_gpu = FusedModel(on_gpu, language_model_of(CELLS[cell]).to("cuda"), weight=0.4)
    graphs = CountedGraphs()
    assert_same(search(fused_on_gpu, settings, kind, graphs), search(fused, settings, kind))
    assert graphs.made > 0
