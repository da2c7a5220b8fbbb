import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nmt.batching import Batch
from nmt.config import Settings
from nmt.errors import ModelError
from nmt.models.folder import load_model
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.shortlist import learn
from nmt.shortlist.learn import MassTable, Reader, add_lexicon, coverage, learn_lexicon
from nmt.shortlist.lexicon import Lexicon, load_lexicon
from nmt.text.sequences import FlatSequences
from nmt.training.feeding import TrainingPairs
from nmt.training.observers import Logbook, Silence


class Diagonal:
    """A model whose position t reads the t-th piece of the text, 0.75, and evenly the rest of its source."""

    def __init__(self, *, reverse_source: bool) -> None:
        self.reverse_source = reverse_source

    device = torch.device("cpu")

    def attend(self, batch: Batch) -> Tensor:
        weights = torch.zeros(len(batch), batch.tgt.outputs.shape[1], batch.src.ids.shape[1])
        for b, length in enumerate(batch.src.lengths.tolist()):
            rest = 0.25 / (length - 1)
            for t in range(weights.shape[1]):
                weights[b, t, :length] = rest
                if t < length - 1:
                    weights[b, t, length - 2 - t if self.reverse_source else t] = 0.75
        return weights


def flat(*rows: list[int]) -> FlatSequences:
    return FlatSequences.from_lists(rows)


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def nobody(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("reverse_source", [False, True])
def test_the_heaviest_pieces_are_kept_best_first(reverse_source: bool) -> None:
    pairs = TrainingPairs(flat([4, 5], [4], [5, 4, 4]), flat([6, 7], [6], [7, 6]), reverse_source)
    reader = Reader(Diagonal(reverse_source=reverse_source), "fp32")
    counts = np.array([0, 0, 0, 3, 0, 9, 3, 2, 9])
    told: list[tuple[int, int]] = []
    learnt = learn_lexicon(
        reader, pairs, src_size=6, counts=counts, size=3, on_progress=lambda done, total: told.append((done, total))
    )
    # Piece 4 reads for 6: 0.75 + 0.75 + (0.75 + 0.25 / 3), for 7: 0.125 + 2 * 0.25 / 3; 5 the other way round.
    assert learnt.translations.tolist() == [[-1] * 3] * 4 + [[6, 7, -1], [7, 6, -1]]
    assert learnt.frequent.tolist() == [5, 8, 6, 7, 4]
    assert told[-1] == (3, 3)


def test_special_ids_neither_translate_nor_are_translated() -> None:
    pairs = TrainingPairs(flat([1, 4], [4, 1]), flat([6, 1], [1, 6]), False)
    src, tgt, mass = Reader(Diagonal(reverse_source=False), "fp32").read(pairs.batch(np.arange(2)))
    assert (src.tolist(), tgt.tolist(), mass.tolist()) == ([4, 4], [6, 6], [0.125, 0.125])


def test_a_weight_that_is_next_to_nothing_does_not_count() -> None:
    class Faint:
        device = torch.device("cpu")

        def attend(self, batch: Batch) -> Tensor:
            return torch.tensor([[[0.0099, 0.0101, 0.98], [0.5, 0.25, 0.25]]])

    src, tgt, mass = Reader(Faint(), "fp32").read(TrainingPairs(flat([4, 5]), flat([6]), False).batch(np.arange(1)))
    assert (src.tolist(), tgt.tolist()) == ([5], [6])
    assert mass.tolist() == pytest.approx([0.0101])


def test_sums_decide_and_ties_go_to_the_lower_id() -> None:
    table = MassTable(tgt_size=10, keep=9)
    table.add(ids(2, 2, 1), ids(5, 6, 9), np.array([0.5, 0.25, 0.1], dtype=np.float32))
    table.add(ids(2, 2, 2), ids(6, 7, 6), np.array([0.25, 0.5, 0.25], dtype=np.float32))
    assert table.heaviest(3, 2).tolist() == [[-1, -1], [9, -1], [6, 5]]


def test_nothing_added_gives_an_empty_table() -> None:
    assert MassTable(tgt_size=10, keep=1).heaviest(2, 2).tolist() == [[-1, -1], [-1, -1]]


def test_the_sums_do_not_depend_on_how_often_they_are_merged() -> None:
    rng = np.random.default_rng(0)
    whole, often = (MassTable(tgt_size=20, keep=20, block_cells=cells) for cells in (10**6, 50))
    dense = np.zeros((30, 20))
    for _ in range(40):
        src, tgt = rng.integers(30, size=37), rng.integers(20, size=37)
        mass = rng.integers(1, 1000, size=37).astype(np.float32)
        whole.add(src, tgt, mass)
        often.add(src, tgt, mass)
        np.add.at(dense, (src, tgt), mass)
    expected = np.argsort(-dense, axis=1, kind="stable")[:, :5]
    expected[np.take_along_axis(dense, expected, axis=1) == 0] = -1
    np.testing.assert_array_equal(whole.heaviest(30, 5), expected)
    np.testing.assert_array_equal(often.heaviest(30, 5), expected)


def test_memory_is_bounded_by_what_each_source_piece_keeps() -> None:
    table = MassTable(tgt_size=1000, keep=3, block_cells=100)
    for first in range(0, 1000, 100):
        tgt = np.arange(first, first + 100)
        table.add(np.full(100, 7), tgt, tgt.astype(np.float32))
        assert len(table._pairs) == 3
    assert table.heaviest(8, 3)[7].tolist() == [999, 998, 997]


def test_coverage_counts_the_pieces_of_the_references() -> None:
    translations = torch.full((6, 1), -1, dtype=torch.int32)
    translations[4] = 5
    table = Lexicon(translations, torch.arange(39, 3, -1, dtype=torch.int32))
    # Shortlists of 16: the specials, 5 where the source has a 4, and the most frequent, down to 29 or 28.
    src, tgt = flat([4], [5], [5, 4]), flat([5, 29, 28], [5, 28], [1, 6])
    assert coverage(table, src, tgt, size=16) == pytest.approx(4 / 7)


def test_coverage_in_blocks_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    translations = torch.full((6, 1), -1, dtype=torch.int32)
    table = Lexicon(translations, torch.arange(39, 3, -1, dtype=torch.int32))
    monkeypatch.setattr(learn, "_BLOCK_ROWS", 2)
    assert coverage(table, flat([4], [4], [4, 5]), flat([39], [5], [28, 27]), size=16) == pytest.approx(2 / 4)


@pytest.fixture
def model(toy_model: Path, tmp_path: Path) -> Path:
    """A copy of a model, to be added to."""
    return Path(shutil.copytree(toy_model, tmp_path / "model"))


def test_the_lexicon_of_a_trained_model_translates_its_words(
    model: Path, toy_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "SHORTLISTS", (16, 32, 48))
    learnt = add_lexicon(model, toy_data, size=5, on_progress=nobody)
    assert learnt.pairs == len(toy_data.train_src)
    found = load_lexicon(model)
    assert found.translations.shape == (len(toy_data.tokenizers.src), 5)
    assert learnt.translated == int((found.translations[:, 0] >= 0).sum()) > 10
    src, tgt = toy_data.tokenizers.src.encode(["bat map"])[0], toy_data.tokenizers.tgt.encode(["bato mapo"])[0]
    assert set(tgt) <= {target for word in src for target in found.translations[word].tolist()}
    assert list(learnt.coverage) == [16, 32]  # the vocabulary has 40 pieces
    valid = toy_data.valid
    assert learnt.coverage[16] == coverage(found, valid.src, valid.tgt, size=16) > 0.9
    assert learnt.coverage[32] >= learnt.coverage[16]


def test_at_most_so_many_pairs_are_read_and_always_the_same(model: Path, toy_data: PreparedData) -> None:
    told: list[tuple[int, int]] = []
    tables = []
    for _ in range(2):
        assert add_lexicon(model, toy_data, max_pairs=50, on_progress=lambda *now: told.append(now)).pairs == 50
        tables.append(load_lexicon(model))
    assert told[-1] == (50, 50)
    first, second = tables
    assert torch.equal(first.translations, second.translations)
    assert first.frequent[0] == 4 + toy_data.target_counts[4:].argmax()  # counted over all pairs


def test_the_model_still_loads_and_its_log_tells_of_the_lexicon(model: Path, toy_data: PreparedData) -> None:
    add_lexicon(model, toy_data, max_pairs=50, on_progress=nobody)
    load_model(model, device=torch.device("cpu"))
    assert "lexicon.safetensors" in json.loads((model / "model.json").read_text())["sha256"]
    assert (model / "train.log").read_text().endswith("  lexicon learnt from 50 pairs\n")


def test_data_of_other_tokenizers_are_refused(
    model: Path, toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    tokenizer = toy_settings.tokenizer.model_copy(update={"vocab_size": 39})
    prepare(tmp_path / "other", toy_settings.model_copy(update={"tokenizer": tokenizer}))
    with pytest.raises(ModelError, match=r"other was prepared with other tokenizers than those of .*model$"):
        add_lexicon(model, PreparedData.open(tmp_path / "other"), on_progress=nobody)
    assert not (model / "lexicon.safetensors").exists()


def test_a_folder_that_is_no_model_is_refused_and_left_alone(toy_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere does not exist"):
        add_lexicon(tmp_path / "nowhere", toy_data, on_progress=nobody)
    assert not (tmp_path / "nowhere").exists()


def test_a_model_in_training_is_left_alone(model: Path, toy_data: PreparedData) -> None:
    with Logbook(model, Silence()), pytest.raises(ModelError, match="another process is training in"):
        add_lexicon(model, toy_data, max_pairs=50, on_progress=nobody)
    assert not (model / "lexicon.safetensors").exists()
