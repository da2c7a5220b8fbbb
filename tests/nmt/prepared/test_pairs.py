from nmt.config import load_settings
from nmt.corpus.reading import Pair, TextFiles
from nmt.prepared.inputs import PairInputs
from nmt.prepared.pairs import PairCorpus
from nmt.subword import JOINT_MODEL, SRC_MODEL, TGT_MODEL

PAIRS = [Pair("7", "7", "f", 1), Pair("7", "a", "f", 2)]


def corpus(*overrides: str) -> PairCorpus:
    return PairCorpus(PairInputs(TextFiles(), None), load_settings(None, overrides))


def judged(pairs: list[Pair], *overrides: str) -> list[str | None]:
    return [*map(corpus(*overrides).make_judge(), pairs)]


def test_the_settings_decide_what_is_rejected() -> None:
    pairs = [Pair(src, tgt, "f", 1) for src, tgt in (("abc", "a"), ("abcd", "abc"), ("a", "a"), ("a", "b"), ("a", "b"))]
    lengths = ("data.max_characters=3", "data.max_length_ratio=2.0")
    assert judged(pairs, *lengths) == ["length_ratio", "too_long", "copy", None, "duplicate"]
    lenient = (*lengths, "data.drop_copies=false", "data.drop_duplicates=false")
    assert judged(pairs, *lenient) == ["length_ratio", "too_long", None, None, None]


def test_every_judge_begins_anew() -> None:
    pair = Pair("a", "b", "f", 1)
    own = corpus()
    assert [own.make_judge()(pair), own.make_judge()(pair)] == [None, None]


def test_training_pairs_are_masked_only_where_both_sides_agree() -> None:
    own = corpus("tokenizer.placeholders=['number']")
    assert [own.mask_train(pair) for pair in PAIRS] == [("[NUM]", "[NUM]"), ("7", "a")]


def test_validation_sources_are_masked_as_for_translation() -> None:
    own = corpus("tokenizer.placeholders=['number']")
    assert [own.mask_valid(pair) for pair in PAIRS] == [("[NUM]", "[NUM]"), ("[NUM]", "a")]


def test_a_joint_tokenizer_learns_from_both_sides_and_separate_ones_from_their_own() -> None:
    def masked() -> list[tuple[str, str]]:
        return [("a", "b"), ("c", "d")]

    def texts(*overrides: str) -> dict[str, list[str]]:
        return {
            name: list(lines()) for name, lines in corpus(*overrides).tokenizer_texts(lambda: iter(masked())).items()
        }

    assert texts() == {JOINT_MODEL: ["a", "b", "c", "d"]}
    assert texts("tokenizer.joint=false") == {SRC_MODEL: ["a", "c"], TGT_MODEL: ["b", "d"]}


def test_some_are_held_out_at_random_and_the_seed_decides_which() -> None:
    chosen = [corpus(f"data.seed={seed}").hold_out(100, 30) for seed in (1, 1, 2)]
    assert [int(one.sum()) for one in chosen] == [30, 30, 30]
    assert chosen[0].tolist() == chosen[1].tolist() != chosen[2].tolist()
