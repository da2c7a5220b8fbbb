import io

from nmt.corpus.reading import Pair
from nmt.prepared.encoding import PairEncoder, PieceCounts
from nmt.prepared.selection import Rejections
from nmt.subword import Tokenizer, Tokenizers, train_tokenizer

# No merges beyond the characters fit in 11 pieces: 4 specials, [NUM], the word mark, a, b, c, d, e.
TOKENIZER = Tokenizer(train_tokenizer(["a b c d e"], kind="bpe", vocab_size=11, symbols=["[NUM]"]))
MARK, A, B = (TOKENIZER.pieces.index(piece) for piece in ("\u2581", "a", "b"))
NUM = TOKENIZER.pieces.index("[NUM]")
ENCODER = PairEncoder(Tokenizers(TOKENIZER, TOKENIZER), ("number",))


def pair(src: str, tgt: str, line: int = 1) -> Pair:
    return Pair(src, tgt, "f", line)


def test_training_pairs_are_masked_only_where_both_sides_agree() -> None:
    src, tgt = ENCODER.encode_train([("7", "7"), ("7", "a")])
    assert src[0] == tgt[0] == [MARK, NUM]
    assert NUM not in src[1]
    assert tgt[1] == [MARK, A]


def test_validation_sources_are_masked_as_for_translation() -> None:
    src, tgt = ENCODER.encode_valid([("7", "7"), ("7", "a")])
    assert src == [[MARK, NUM], [MARK, NUM]]
    assert tgt == [[MARK, NUM], [MARK, A]]


def test_pairs_of_too_many_pieces_or_none_are_rejected_with_their_origin() -> None:
    file = io.StringIO()
    block = [pair("ab", "a"), pair("a", "abc", 2), pair("\u2581", "a", 3), pair("a", "\u2581", 4)]
    blocks = list(ENCODER.encode_blocks([block], max_pieces=3, rejections=Rejections(file)))
    assert blocks == [([[MARK, A, B]], [[MARK, A]])]
    assert [line.partition('"line": ')[2] for line in file.getvalue().splitlines()] == [
        '2, "reason": "too_many_pieces"}',
        '3, "reason": "empty"}',
        '4, "reason": "empty"}',
    ]


def test_pieces_are_counted_and_the_end_once_for_every_sentence() -> None:
    counts = PieceCounts(TOKENIZER)
    counts.add([[MARK, A, A], [MARK, B]])
    counts.add([[A]])
    by_piece = dict(line.removesuffix("\n").split("\t") for line in counts.lines())
    assert {piece: int(count) for piece, count in by_piece.items() if count != "0"} == {
        "</s>": 3,
        "\u2581": 2,
        "a": 3,
        "b": 1,
    }
    assert (len(by_piece), counts.total) == (11, 6)
