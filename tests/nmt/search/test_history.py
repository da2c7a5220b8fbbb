import torch

from nmt.search.history import History


def test_hypotheses_are_read_backwards_through_their_parents() -> None:
    history = History(places=2, longest=3, beam_size=2, device=torch.device("cpu"))
    both = torch.tensor([0, 1])
    history.write(both, torch.tensor([0, 0]), ids=torch.tensor([[4, 5], [6, 7]]), parents=torch.zeros(2, 2).long())
    history.write(
        both, torch.tensor([1, 1]), ids=torch.tensor([[8, 9], [8, 9]]), parents=torch.tensor([[1, 0], [0, 0]])
    )
    # sentence 1 alone goes on
    history.write(both[1:], torch.tensor([2]), ids=torch.tensor([[4, 5]]), parents=torch.tensor([[1, 0]]))
    beams, words = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[2, 1], [3, 2]])
    assert history.read(both, beams=beams, words=words) == [[[5, 8], [5]], [[6, 9, 4], [6, 9]]]


def test_an_empty_hypothesis_has_no_words() -> None:
    history = History(places=1, longest=1, beam_size=1, device=torch.device("cpu"))
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    assert history.read(torch.tensor([0]), beams=nothing, words=nothing) == [[[]]]
