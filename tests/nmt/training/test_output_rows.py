from pathlib import Path

import numpy as np
import torch

from nmt.batching import Batch, source_batch, target_batch
from nmt.models.folder import load_model
from nmt.text.sequences import FlatSequences
from nmt.training.output_rows import Fit, OutputRows, Seen
from nmt.training.translation import piece_features

PAIRS = [([5, 6, 7], [8, 9]), ([9, 8], [7, 5, 6, 10])]


def seen(model_dir: Path, *pieces: int) -> tuple[OutputRows, Seen]:
    model, settings = load_model(model_dir, device=torch.device("cpu"))
    rows = OutputRows(model, torch.tensor(pieces))
    return rows, Seen.of(rows, PAIRS, reverse_source=settings.model.reverse_source)


def test_few_rows_and_something_else_have_the_probabilities_of_the_whole_softmax(toy_model: Path) -> None:
    rows, found = seen(toy_model, 6, 9)
    parts = []
    for src, tgt in PAIRS:
        both = FlatSequences.from_lists([src]), FlatSequences.from_lists([tgt])
        batch = Batch(source_batch(both[0], np.array([0]), reverse_source=True), target_batch(both[1], np.array([0])))
        parts.append(rows.model.output(piece_features(rows.model, batch)[0]).softmax(dim=1))
    whole = torch.cat(parts).detach()
    few = torch.cat([whole[:, [6, 9]], (1 - whole[:, [6, 9]].sum(dim=1))[:, None]], dim=1)
    torch.testing.assert_close(found.log_probabilities(*rows.copy()).exp(), few, atol=1e-5, rtol=1e-4)
    assert found.right.tolist() == [2, 1, 2, 2, 2, 0, 2, 2]
    assert found.pair.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_what_follows_a_piece_with_a_row_and_has_none_is_told_apart(toy_model: Path) -> None:
    _, found = seen(toy_model, 6, 9)
    assert found.after_rows(2).tolist() == [False, False, True, False, False, False, True, False]


def by_hand(features: list[float], right: int) -> Seen:
    one = torch.tensor([right])
    return Seen(torch.tensor([features]), torch.zeros(1), one, gold=one, rivals=one, pair=torch.zeros(1).long())


def test_a_fit_makes_what_is_taught_probable_and_keeps_the_rest() -> None:
    taught, kept = by_hand([1.0, 0.0], right=0), by_hand([0.0, 1.0], right=1)
    weight, bias = torch.zeros(1, 2), torch.zeros(1)
    before = kept.log_probabilities(weight, bias)
    fit = Fit(taught, torch.ones(1), kept, before, 100.0, origin=weight, stiffness=torch.tensor([0.001]))
    new = fit.solve(weight, bias)
    assert taught.log_probabilities(*new)[0, 0].exp() > 0.9
    torch.testing.assert_close(kept.log_probabilities(*new), before, atol=0.05, rtol=0)
    assert weight.tolist() == [[0.0, 0.0]]


def test_stiff_rows_stay_where_they_are() -> None:
    taught, kept = by_hand([1.0, 0.0], right=0), by_hand([0.0, 1.0], right=1)
    weight, bias = torch.zeros(1, 2), torch.zeros(1)
    before = kept.log_probabilities(weight, bias)
    fit = Fit(taught, torch.ones(1), kept, before, 100.0, origin=weight, stiffness=torch.tensor([1e6]))
    torch.testing.assert_close(fit.solve(weight, bias)[0], weight, atol=1e-5, rtol=0)
