"""Steps of training and of search on fake CUDA tensors, for the process of `fake_cuda`."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from nmt.batching import Batch, Segment, SourceBatch, TargetBatch, TrainingBatch
from nmt.config import Settings
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.training import TrainingSettings
from nmt.lm.generator import Generation, Generator
from nmt.lm.scorer import make_readers, score_apart
from nmt.models import recording
from nmt.models.build import Undrawn, build_language_model, build_model
from nmt.models.devices import Precision, for_search
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.models.snapshot import Snapshot
from nmt.models.tensors import tensors_of
from nmt.search.combined import Ensemble, FusedModel
from nmt.search.engine import Engine, Kind, start_of
from nmt.search.neighbours import Datastore, NeighbourModel, Vote
from nmt.search.protocol import Sentence
from nmt.search.replay import recorder_for
from nmt.text.sequences import FlatSequences
from nmt.training.distributed import Ranks
from nmt.training.feeding import UpdateData
from nmt.training.language_modelling import SegmentLoss
from nmt.training.loss_scale import LossScale
from nmt.training.state import Carry, Position
from nmt.training.translation import TrainingLoss, Validator
from nmt.training.update import MovingAverage, Updater, make_objective, make_optimizer
from tests.cudafake.device import Library
from tests.cudafake.recorder import Recorder, Seen

DEVICE: Final = torch.device("cuda", 0)
PIECES: Final = 32000
"""In the vocabulary that both sides have."""
PAIRS: Final = 256
"""Of a batch, or lines of a language model's text."""
SENTENCES: Final = 64
"""That are searched together."""
SOURCE: Final = 16
"""Positions of each of their sources."""
LARGE: Final = {"embedding_size": 1024, "hidden_size": 1024, "encoder_layers": 2, "decoder_layers": 2}
"""The model of the steps. More layers would be more of the same."""


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make all tensors fake, those of models too, and let cuDNN be there."""
    recording.recordings_of.cache_clear()  # each mode has fake tensors of its own
    copied = patch.object(FakeTensor, "__deepcopy__", lambda fake, memo: fake.detach().clone(), create=True)
    with FakeTensorMode(allow_non_fake_inputs=True), Library(), copied, warnings.catch_warnings():
        warnings.simplefilter("error")  # torch would copy the memory of a tensor, and one that is fake has none
        yield


def training_step(
    *,
    model: Mapping[str, Any] = {},
    training: Mapping[str, Any] = {},
    precision: Precision = "bf16",
    length: int = 4,
    number: int = 2,
) -> Seen:
    """Make the second or a later update of a new translation model, which differs from `LARGE` in some settings.

    A batch has `PAIRS` pairs of `length` pieces on each side. The optimiser has its state already.
    """
    settings = TrainingSettings(**training)
    with fake_gpu():
        built = _translator(model)
        ids, lengths = torch.ones(PAIRS, length, dtype=torch.int64), torch.ones(PAIRS, dtype=torch.int64)
        batch = Batch(SourceBatch(ids, lengths), TargetBatch(ids, ids, ids.flatten()))
        return update(TrainingLoss(built, objective_of(settings)), batch, settings, precision, number=number)


def state_copied(sizes: tuple[int, ...]) -> Seen:
    """Copy weights of so many numbers, as a checkpoint does."""
    with fake_gpu():
        weights = {str(size): torch.empty(size, device=DEVICE) for size in sizes}
        with Recorder() as seen:
            Snapshot(weights)
    return seen


def segment_step(
    *, model: Mapping[str, Any] = {}, training: Mapping[str, Any] = {}, precision: Precision = "bf16", length: int = 4
) -> Seen:
    """Make the second update of a new language model, which goes on from the state after the first."""
    settings, carry = TrainingSettings(label_smoothing=0.0, **training), Carry(Ranks(), rows=PAIRS)
    with fake_gpu():
        built, ids = _language_model(model), torch.ones(PAIRS, length, dtype=torch.int64)
        segment = Segment(ids, ids, ids.flatten(), first_row=0, is_fresh=False)
        return update(SegmentLoss(built, objective_of(settings), carry), segment, settings, precision, carry)


def _translator(model: Mapping[str, Any]) -> Seq2Seq:
    with DEVICE, Undrawn():
        settings = ModelSettings(**{**LARGE, **model})
        return build_model(settings, src_vocab_size=PIECES, tgt_vocab_size=PIECES, joint=True, seed=1)


def _language_model(model: Mapping[str, Any]) -> LanguageModel:
    with DEVICE, Undrawn():
        settings = ModelSettings(**{**LARGE, "kind": "lm", **model})
        return build_language_model(settings, vocab_size=PIECES, seed=1)


def objective_of(settings: TrainingSettings) -> Any:
    return make_objective(settings, np.ones(PIECES, dtype=np.int64))


def update(
    loss: nn.Module,
    batch: TrainingBatch,
    settings: TrainingSettings,
    precision: Precision,
    carry: Carry | None = None,
    *,
    number: int = 2,
) -> Seen:
    """Make updates of a model; what was seen of the last of so many."""
    updater = Updater(
        loss=loss.train(),
        optimizer=make_optimizer(settings, loss.model.parameters()),
        device=loss.model.device,
        precision=precision,
        clip_norm=settings.clip_norm or math.inf,
        clip_value=settings.clip_value or math.inf,
        average=MovingAverage(loss.model, decay=settings.ema_decay) if settings.ema_decay else None,
        ranks=Ranks(),
        on_message=print,
        carry=carry,
        scale=LossScale(DEVICE) if precision == "fp16" else None,
    )
    data = UpdateData((batch.pinned(),), batch.cells, Position())
    for step in range(1, number):
        updater.update(data, step=step, seed=step, rate=0.001)
    with Recorder() as seen:
        result = updater.update(data, step=number, seed=number, rate=0.001)
    seen.facts["results"] = [(x.device.type, str(x.dtype).removeprefix("torch.")) for x in result]
    return seen


def doubled(model: Seq2Seq) -> Any:
    """Search with the mean of two models."""
    return Ensemble([model, model])


def with_text_model(model: Seq2Seq) -> Any:
    """Search with a language model's scores added."""
    return FusedModel(model, for_search(_language_model({}), "bf16", device=DEVICE), weight=0.1)


def beside_memory(model: Seq2Seq) -> Any:
    """Search beside pairs of a memory, 64 places in all for each sentence."""
    both = NeighbourModel(model, lambda ids: [], Vote(1, 0.1, None), reverse_source=True)
    keys = torch.ones(SENTENCES, 64, model.decoder.sizes.features, device=DEVICE)
    store = Datastore(keys, *[torch.ones(SENTENCES, 64, dtype=torch.int64, device=DEVICE)] * 2)
    both.encode = lambda src: (model.encode(src), store)  # type: ignore[method-assign]
    return both


def search_step(
    *,
    model: Mapping[str, Any] = {},
    search: Mapping[str, Any] = {},
    kind: Mapping[str, Any] = {},
    precision: Precision = "bf16",
    joined: Callable[[Seq2Seq], Any] = lambda model: model,
) -> Seen:
    """Make the third step of `SENTENCES` sentences of `SOURCE` positions each, as it would be recorded."""
    settings = SearchSettings(**search)
    with fake_gpu(), torch.inference_mode():
        alone = for_search(_translator({"encoder_layers": 1, **model}), precision, device=DEVICE)
        searched = joined(alone)
        ids, lengths = (
            torch.ones(shape, dtype=torch.int64, device=DEVICE) for shape in ((SENTENCES, SOURCE), SENTENCES)
        )
        state = searched.start(searched.encode(SourceBatch(ids, lengths)))
        sentences = [Sentence((7,) * (SOURCE - 1), number) for number in range(SENTENCES)]
        both = state, start_of(settings, Kind(**kind))(sentences, lengths)
        shapes = []
        for _ in range(3):
            shapes.append([(x.shape, x.dtype, x.device) for x in tensors_of(both)])
            with Recorder() as seen:
                logits, state = searched.step(both[1].ids, both[0])
                frontier, parents = both[1].grow(logits, state)
                both = (state if parents is None else state.select(parents)), frontier
        seen.facts["keeps shapes"] = shapes[2] == [(x.shape, x.dtype, x.device) for x in tensors_of(both)]
        return seen


def writing_work(*, pieces: int = 8) -> dict[str, Seen]:
    """Let a language model write so many pieces of `SENTENCES` lines: at first, while it records, and afterwards."""
    work, generation = dict[str, Seen](), Generation(max_length=pieces)
    with fake_gpu():
        writer = Generator(for_search(_language_model({}), "bf16", device=DEVICE), None, None)
        advance, numbers = writer._advance(generation.sampling), torch.arange(SENTENCES, device=DEVICE)
        state = writer.model.start(SENTENCES)
        for name in ("first", "second", "recorded", "replayed"):
            with Recorder() as work[name]:
                writer._draw(advance, state, numbers, generation, prefix=(), wanted=SENTENCES)
        return work


def validation_loss(*, model: Mapping[str, Any] = {}, pairs: int = 2**13, number: int = 1) -> Seen:
    """Read pairs of `SOURCE` pieces, thousands of them in several batches, to know the loss of a translation model: the
    last of so many validations."""
    texts = FlatSequences.from_lists([[7] * (SOURCE - 1)] * pairs)
    both: Any = SimpleNamespace(src=texts, tgt=texts)
    validator = Validator(both, None, Settings(), "bf16")
    with fake_gpu(), torch.inference_mode():
        built = _translator({"encoder_layers": 1, **model}).eval()
        for _ in range(number):
            with Recorder() as seen:
                validator.loss(built, Event())
        return seen


def scoring_blocks() -> Seen:
    """Let a language model score `SENTENCES` texts of several blocks each, up to where the scores are fetched."""
    with fake_gpu(), patch("nmt.lm.scorer._fetched", lambda log_probs: np.zeros(sum(map(len, log_probs)))):
        reader, _ = make_readers(_language_model({}).eval(), "bf16")
        with Recorder() as seen:
            score_apart(reader, [[7] * 3 * reader.steps] * SENTENCES)
        return seen


def engine_work(
    *, model: Mapping[str, Any] = {}, search: Mapping[str, Any] = {}, precision: Precision = "bf16"
) -> dict[str, Seen]:
    """Let an engine search `SENTENCES` sentences: what it does at first, while it records, and when others come."""
    settings, work = SearchSettings(**search), dict[str, Seen]()
    with fake_gpu(), torch.inference_mode():
        searched = for_search(_translator({"encoder_layers": 1, **model}), precision, device=DEVICE)
        start, sizes = start_of(settings), {"batch_tokens": 2**20, "beams": settings.beam_size}
        engine = Engine(searched, start, **sizes, reverse_source=False, recorder=recorder_for(DEVICE))
        sentences = [Sentence((7,) * (SOURCE - 1), number) for number in range(SENTENCES)]
        for name in ("first add", "first step", "second step", "recorded", "replayed", "add"):
            with Recorder() as work[name]:
                engine.add(sentences) if "add" in name else engine.step()
        frontier = start(sentences, torch.full((SENTENCES,), SOURCE, device=DEVICE))
        with Recorder() as work["hypotheses"]:
            frontier.hypotheses()
        return work
