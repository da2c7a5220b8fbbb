from nmt.prepared.statistics import PieceCounts, count_pieces
from nmt.text.sequences import FlatSequences
from nmt.text.tokenizer import Tokenizer
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

# No merges beyond the characters fit in 10 pieces: 4 specials, the word mark, a, b, c, d, e.
TOKENIZER = Tokenizer(train_tokenizer(["a b c d e"], TokenizerPlan("bpe", 10)))
OTHER = Tokenizer(train_tokenizer(["a b"], TokenizerPlan("word", 6)))
MARK, A, B = (TOKENIZER.pieces.index(piece) for piece in ("\u2581", "a", "b"))


def test_pieces_are_counted_and_the_end_once_for_every_sentence() -> None:
    counts = PieceCounts(TOKENIZER)
    counts.add(FlatSequences.from_lists([[MARK, A, A], [MARK, B]]))
    counts.add(FlatSequences.from_lists([[A]]))
    by_piece = dict(line.removesuffix("\n").split("\t") for line in counts.lines())
    assert {piece: int(count) for piece, count in by_piece.items() if count != "0"} == {
        "</s>": 3,
        "\u2581": 2,
        "a": 3,
        "b": 1,
    }
    assert (len(by_piece), counts.vocabulary, counts.total, counts.unknown) == (10, 10, 6, 0)


def test_the_pieces_of_a_column_are_counted_with_those_that_are_unknown() -> None:
    ids = {"src": FlatSequences.from_lists([[MARK, A]]), "tgt": FlatSequences.from_lists([[1, 5], [1]])}
    counts = count_pieces({"src": TOKENIZER, "tgt": OTHER}, ids)
    assert [(one.total, one.unknown, one.vocabulary) for one in counts.values()] == [(2, 0, 10), (3, 2, 6)]
