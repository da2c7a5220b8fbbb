import torch
from torch import Tensor

from nmt.search.frontier import Written
from nmt.search.protocol import Hypothesis
from nmt.text.vocab import PAD


def pieces(*rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows)


def written_of(*limits: int, beams: int = 1, with_attention: bool = False) -> Written:
    return Written.start(torch.tensor(limits), beams, with_attention=with_attention)


def attention_of(value: float, *, batch: int, beams: int, size: int) -> Tensor:
    """Make the attention of a step: beam k of sentence b reads `value` + 10 b + k of every position."""
    per_beam = value + 10.0 * torch.arange(batch)[:, None] + torch.arange(beams)
    return per_beam[:, :, None].expand(-1, -1, size)


def written_as(rows: Tensor, attention: Tensor | None = None, room: tuple[int, ...] = ()) -> Written:
    """Make what has been written; each sentence needs all of its places unless `room` says how many."""
    return Written(rows, attention, torch.tensor(room or [rows.shape[2]] * len(rows)))


def test_it_begins_empty_with_room_for_the_longest_and_for_one_piece_too_many() -> None:
    written = written_of(2, 31, beams=2)
    assert written.pieces.tolist() == [[[PAD] * 32] * 2] * 2
    assert written.attention is None
    assert written_of(2, 32).pieces.shape == (2, 1, 64)


def test_when_a_long_sentence_has_left_its_places_are_gone() -> None:
    written = written_of(70, 9, 40, with_attention=True)
    assert written.pieces.shape == (3, 1, 96)
    kept = written.take(torch.tensor([1, 2]))
    assert kept.pieces.shape == (2, 1, 64)
    assert kept.attention is not None
    assert kept.attention.shape == (2, 1, 64, 1)
    assert kept.room.tolist() == [10, 41]
    assert kept.join(written_of(99, with_attention=True)).take(torch.tensor([0])).pieces.shape == (1, 1, 32)


def test_its_places_stay_whatever_is_done_with_hypotheses() -> None:
    written = written_of(3, 40, beams=2, with_attention=True)
    chosen = written.select(torch.tensor([[1], [0]]))
    changed = chosen.write(torch.tensor([0, 0]), torch.tensor([[4], [5]]), torch.zeros(2, 1, 1)).beside(written)
    plain = written_of(3, 40).write(torch.tensor([0, 0]), torch.tensor([[4], [5]]), torch.zeros(2, 1, 1))
    assert changed.room.tolist() == plain.room.tolist() == [4, 41]
    assert plain.take(torch.tensor([0])).pieces.shape == (1, 1, 32)


def test_nobody_is_left() -> None:
    assert written_of(3, 40).take(torch.tensor([], dtype=torch.int64)).pieces.shape == (0, 1, 0)


def test_pieces_go_to_their_places_and_what_was_there_before_stays_there() -> None:
    before = written_as(torch.zeros(2, 2, 4, dtype=torch.int64))
    after = before.write(torch.tensor([0, 2]), torch.tensor([[4, 5], [6, 7]]), torch.zeros(2, 2, 1))
    assert after.pieces.tolist() == [[[4, 0, 0, 0], [5, 0, 0, 0]], [[0, 0, 6, 0], [0, 0, 7, 0]]]
    assert not before.pieces.any()


def test_a_hypothesis_continues_its_parent() -> None:
    written = written_as(pieces([[4], [5]], [[6], [7]]), torch.arange(4.0).view(2, 2, 1, 1))
    chosen = written.select(torch.tensor([[1, 1, 0], [0, 1, 0]]))
    assert chosen.pieces.tolist() == [[[5], [5], [4]], [[6], [7], [6]]]
    assert chosen.attention is not None
    assert chosen.attention.flatten(1).tolist() == [[1.0, 1.0, 0.0], [2.0, 3.0, 2.0]]


def test_attention_stands_beside_the_piece_that_it_came_with_however_wide_it_is() -> None:
    written = written_as(torch.zeros(2, 2, 3, dtype=torch.int64), torch.zeros(2, 2, 3, 1))
    ids = torch.tensor([[4, 5], [6, 7]])
    written = written.write(torch.tensor([0, 0]), ids, attention_of(1, batch=2, beams=2, size=2))
    written = written.write(torch.tensor([1, 1]), ids, attention_of(2, batch=2, beams=2, size=3))
    written = written.write(torch.tensor([2, 1]), ids, attention_of(3, batch=2, beams=2, size=1))
    assert written.attention is not None
    assert written.attention[0, 1].tolist() == [[2.0, 2.0, 0.0], [3.0, 3.0, 3.0], [4.0, 0.0, 0.0]]
    assert written.attention[1, 0].tolist() == [[11.0, 11.0, 0.0], [13.0, 0.0, 0.0], [0.0] * 3]


def test_a_hypothesis_is_so_many_pieces_and_their_attention() -> None:
    written = written_as(pieces([[4, 5, 6]], [[7, 8, PAD]]), torch.arange(6.0).view(2, 1, 3, 1))
    found = written.hypothesis(1, 0, 2, -1.5, -0.5)
    assert found == Hypothesis((7, 8), -1.5, -0.5)
    assert found.attention is not None
    assert found.attention.tolist() == [[3.0], [4.0]]
    written.pieces.zero_()
    written.attention.zero_()
    assert found.attention.tolist() == [[3.0], [4.0]]
    assert written_as(pieces([[4]])).hypothesis(0, 0, 0, 0.0, 0.0).attention is None


def test_sentences_leave_and_join() -> None:
    first = written_as(pieces([[4, 5]], [[6, 7]]), torch.arange(8.0).view(2, 1, 2, 2))
    second = written_as(pieces([[8]]), torch.full((1, 1, 1, 3), 9.0))
    together = first.take(torch.tensor([1])).join(second)
    assert together.pieces.tolist() == [[[6, 7]], [[8, PAD]]]
    assert together.attention is not None
    assert together.attention[:, 0].tolist() == [[[4.0, 5.0, 0.0], [6.0, 7.0, 0.0]], [[9.0, 9.0, 9.0], [0.0, 0.0, 0.0]]]
    plain = written_as(first.pieces).join(written_as(second.pieces))
    assert plain.attention is None
    assert plain.room.tolist() == [2, 2, 1]
    assert written_as(first.pieces).take(torch.tensor([0])).pieces.tolist() == [[[4, 5]]]


def test_hypotheses_of_the_same_sentences_stand_side_by_side() -> None:
    first = written_as(pieces([[4, 5]], [[6, 7]]), torch.ones(2, 1, 2, 1))
    second = written_as(pieces([[8], [9]], [[10], [11]]), torch.full((2, 2, 1, 2), 2.0))
    both = first.beside(second)
    assert both.pieces.tolist() == [[[4, 5], [8, PAD], [9, PAD]], [[6, 7], [10, PAD], [11, PAD]]]
    assert both.attention is not None
    assert both.attention[1].tolist() == [[[1.0, 0.0]] * 2, [[2.0, 2.0], [0.0] * 2], [[2.0, 2.0], [0.0] * 2]]
