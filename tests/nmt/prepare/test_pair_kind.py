import pickle

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap
from nmt.io.lines import Pair
from nmt.prepare.kinds import PairKind
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL

TEXTS = ["7", "7"], ["7", "a"]


def corpus(*overrides: str) -> PairKind:
    return PairKind(load_settings(None, overrides))


def judged(pairs: list[Pair], *overrides: str) -> list[str | None]:
    return corpus(*overrides).make_judge(Overlap({}))(pairs)


def test_the_settings_decide_what_is_rejected() -> None:
    pairs = [Pair(src, tgt, "f", 1) for src, tgt in (("abc", "a"), ("abcd", "abc"), ("a", "a"), ("a", "b"))]
    lengths = ("data.max_characters=3", "data.max_length_ratio=2.0")
    assert judged(pairs, *lengths) == ["length_ratio", "too_long", "copy", None]
    assert judged(pairs, *lengths, "data.drop_copies=false") == ["length_ratio", "too_long", None, None]


def test_duplicates_are_dropped_if_the_settings_say_so() -> None:
    assert (corpus().drops_duplicates, corpus("data.drop_duplicates=false").drops_duplicates) == (True, False)


def test_the_same_pair_has_the_same_hash_wherever_it_stands() -> None:
    pairs = [Pair("a", "b", "f", 1), Pair("a", "b", "g", 2), Pair("ab", "", "f", 1)]
    one, again, other = corpus().hashes(pairs).tolist()
    assert one == again != other


def test_text_to_be_kept_out_of_training_is_a_reason_against_a_pair() -> None:
    own, pair = corpus("data.drop_overlap=['source']"), Pair("a", "b", "f", 1)
    overlap = own.overlap({"validation": [Pair("A", "c", "g", 1)]})
    judge = pickle.loads(pickle.dumps(own.make_judge(overlap)))  # as another process gets it
    assert judge([pair, Pair("b", "a", "f", 2)]) == ["overlap", None]
    keys = own.keys([pair])
    assert keys is not None
    assert overlap.count(keys)["validation"]["source"] == 1


def test_training_pairs_are_masked_only_where_both_sides_agree() -> None:
    assert corpus("tokenizer.placeholders=['number']").mask_train(TEXTS, None) == (["[NUM]", "7"], ["[NUM]", "a"])
    assert corpus().mask_train(TEXTS, None) == TEXTS


def test_the_tag_of_a_corpus_is_put_before_its_sources() -> None:
    own = corpus("tokenizer.placeholders=['number']")
    assert own.mask_train(TEXTS, "<web>") == (["<web> [NUM]", "<web> 7"], ["[NUM]", "a"])


def test_validation_sources_are_masked_as_for_translation() -> None:
    own = corpus("tokenizer.placeholders=['number']")
    assert own.mask_valid(TEXTS, [None, None]) == (["[NUM]", "[NUM]"], ["[NUM]", "a"])


def test_each_validation_source_has_its_own_tag_or_none() -> None:
    own = corpus("tokenizer.placeholders=['number']")
    assert own.mask_valid(TEXTS, ["<a7>", None]) == (["<a7> [NUM]", "[NUM]"], ["[NUM]", "a"])


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
    chosen = [corpus(f"data.seed={seed}").hold_out(100, 30).tolist() for seed in (1, 1, 2)]
    assert [len(one) for one in chosen] == [30, 30, 30]
    assert chosen[0] == chosen[1] != chosen[2]
