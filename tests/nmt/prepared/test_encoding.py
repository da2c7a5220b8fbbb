import io

from nmt.corpus.reading import Line, Pair
from nmt.prepared.encoding import Encoder, PieceCounts, count_pieces
from nmt.prepared.selection import Rejections
from nmt.subword import Tokenizer, train_tokenizer

# No merges beyond the characters fit in 10 pieces: 4 specials, the word mark, a, b, c, d, e.
TOKENIZER = Tokenizer(train_tokenizer(["a b c d e"], kind="bpe", vocab_size=10))
OTHER = Tokenizer(train_tokenizer(["a b"], kind="word", vocab_size=6))
MARK, A, B = (TOKENIZER.pieces.index(piece) for piece in ("\u2581", "a", "b"))
PAIRS = Encoder[Pair]({"src": TOKENIZER, "tgt": TOKENIZER}, lambda pair: pair[:2], lambda pair: pair[1::-1])


def pair(src: str, tgt: str, line: int = 1) -> Pair:
    return Pair(src, tgt, "f", line)


def test_each_text_is_cut_by_the_tokenizer_of_its_column() -> None:
    encoder = Encoder[Pair]({"src": TOKENIZER, "tgt": OTHER}, lambda pair: pair[:2], lambda pair: pair[:2])
    assert encoder.encode_train([pair("a", "b a"), pair("b", "c")]) == {
        "src": [[MARK, A], [MARK, B]],
        "tgt": [[5, 4], [1]],
    }


def test_training_and_validation_are_masked_each_in_their_way() -> None:
    assert PAIRS.encode_train([pair("a", "b")]) == {"src": [[MARK, A]], "tgt": [[MARK, B]]}
    assert PAIRS.encode_valid([pair("a", "b")]) == {"src": [[MARK, B]], "tgt": [[MARK, A]]}


def test_pairs_of_too_many_pieces_or_none_are_rejected_with_their_origin() -> None:
    file = io.StringIO()
    block = [pair("ab", "a"), pair("a", "abc", 2), pair("\u2581", "a", 3), pair("a", "\u2581", 4)]
    blocks = list(PAIRS.encode_blocks([block], max_pieces=3, rejections=Rejections(file)))
    assert blocks == [{"src": [[MARK, A, B]], "tgt": [[MARK, A]]}]
    assert [line.partition('"line": ')[2] for line in file.getvalue().splitlines()] == [
        '2, "reason": "too_many_pieces"}',
        '3, "reason": "empty"}',
        '4, "reason": "empty"}',
    ]


def test_a_block_of_which_nothing_is_left_is_written_as_such() -> None:
    lines = Encoder[Line]({"ids": TOKENIZER}, lambda line: line[:1], lambda line: line[:1])
    blocks = lines.encode_blocks(
        [[Line("\u2581", "f", 1)], [Line("a", "f", 2)]], max_pieces=9, rejections=Rejections(io.StringIO())
    )
    assert list(blocks) == [{"ids": []}, {"ids": [[MARK, A]]}]


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
    assert (len(by_piece), counts.vocabulary, counts.total, counts.unknown) == (10, 10, 6, 0)


def test_the_pieces_of_a_column_are_counted_with_those_that_are_unknown() -> None:
    counts = count_pieces({"src": TOKENIZER, "tgt": OTHER}, {"src": [[MARK, A]], "tgt": [[1, 5], [1]]})
    assert [(one.total, one.unknown, one.vocabulary) for one in counts.values()] == [(2, 0, 10), (3, 2, 6)]
