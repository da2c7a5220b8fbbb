from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.errors import ConfigError
from nmt.models.folder import Side, export_vectors, lines_of, load_language_model, load_model
from nmt.text.tokenizer import load_tokenizers
from nmt.text.vocab import EOS
from nmt.training.word_vectors import find_vectors

CPU = torch.device("cpu")


def test_a_line_counts_and_each_other_is_a_piece_and_its_numbers() -> None:
    table = torch.tensor([[1.0, -0.5], [0.1, 3e-8]])
    assert list(lines_of(["a", "\u2581b"], table)) == ["2 2\n", "a 1 -0.5\n", "\u2581b 0.100000001 2.99999989e-08\n"]


def test_what_no_line_can_hold_is_left_out() -> None:
    assert list(lines_of(["a b", "\n", "c"], torch.ones(3, 1))) == ["1 1\n", "c 1\n"]


@pytest.mark.parametrize("side", ["src", "tgt", None])
def test_our_own_reader_finds_every_vector_as_it_was(side: Side | None, toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.vec").write_text("".join(export_vectors(toy_model, side=side)), encoding="utf-8")
    model, _ = load_model(toy_model, device=CPU)
    table = (model.tgt_embedding if side == "tgt" else model.src_embedding).table.weight
    tokenizers = load_tokenizers(toy_model)
    pieces = (tokenizers.tgt if side == "tgt" else tokenizers.src).pieces
    found = find_vectors(tmp_path / "toy.vec", pieces, size=table.shape[1])
    assert list(found) == list(range(EOS + 1, len(pieces)))
    assert torch.equal(torch.from_numpy(np.stack(list(found.values()))), table[EOS + 1 :])


def test_a_language_model_has_one_side(toy_language_model: Path) -> None:
    model, _ = load_language_model(toy_language_model, device=CPU)
    heading, first, *_ = export_vectors(toy_language_model)
    pieces, size = model.embedding.table.weight.shape
    assert heading == f"{pieces - EOS - 1} {size}\n"
    assert len(first.split(" ")) == size + 1
    assert next(export_vectors(toy_language_model, side="tgt")) == heading
    expected = r"holds a language model, which has no source; leave the side out$"
    with pytest.raises(ConfigError, match=expected):
        export_vectors(toy_language_model, side="src")
