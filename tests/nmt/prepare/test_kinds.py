import pickle
from pathlib import Path

import numpy as np
import pytest

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap
from nmt.errors import DataError
from nmt.io.lines import Line, Pair
from nmt.prepare import kinds
from nmt.prepare.inputs import find_text
from nmt.prepare.kinds import LineKind, PairKind, draw
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL

SETTINGS = load_settings(None, ["data.heldout_pairs=5"])
PAIRS = PairKind(SETTINGS)
TEXT = LineKind(SETTINGS)


def test_as_many_are_held_out_as_the_settings_say_but_at_most_a_tenth() -> None:
    assert [PAIRS.heldout_size(accepted) for accepted in (10, 49, 50, 1000)] == [1, 4, 5, 5]
    assert TEXT.heldout_size(49) == 4


def test_too_few_to_hold_some_out_is_an_error_that_names_the_options() -> None:
    with pytest.raises(DataError, match=r"^9 training pairs are too few .* text with --valid-src and --valid-tgt$"):
        PAIRS.heldout_size(9)
    with pytest.raises(
        DataError, match=r"^9 training lines are too few to hold out a tenth .* text with --valid-text$"
    ):
        TEXT.heldout_size(9)


def test_as_many_as_asked_for_are_chosen_and_the_seed_decides_which() -> None:
    chosen = [draw(np.random.default_rng(seed), 100, 30) for seed in (1, 1, 2)]
    assert [len(set(one.tolist())) for one in chosen] == [30, 30, 30]
    assert all(one.min() >= 0 and one.max() < 100 for one in chosen)
    assert chosen[0].tolist() == sorted(chosen[1].tolist()) != chosen[2].tolist()


def test_a_sample_as_large_as_the_corpus_is_the_corpus() -> None:
    assert draw(np.random.default_rng(1), 5, 5).tolist() == draw(np.random.default_rng(1), 5, 9).tolist() == [*range(5)]


def test_what_fits_into_a_chunk_is_drawn_at_once() -> None:
    at_once = np.random.default_rng(1).choice(1000, size=20, replace=False, shuffle=False)
    assert draw(np.random.default_rng(1), 1000, 20).tolist() == sorted(at_once.tolist())


def test_over_several_chunks_every_set_is_as_likely_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_CHUNK", 2)
    rng = np.random.default_rng(1)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(10_000):
        chosen = tuple(draw(rng, 5, 2).tolist())
        counts[chosen] = counts.get(chosen, 0) + 1
    assert len(counts) == 10  # 5 over 2
    # 1000 each, with a standard deviation of 30
    assert all(abs(count - 1000) < 150 for count in counts.values())


TEXTS = ["7", "7"], ["7", "a"]


def pair_kind(*overrides: str) -> PairKind:
    return PairKind(load_settings(None, overrides))


def judged(pairs: list[Pair], *overrides: str) -> list[str | None]:
    return pair_kind(*overrides).make_judge(Overlap({}))(pairs)


def test_the_settings_decide_what_is_rejected() -> None:
    pairs = [Pair(src, tgt, "f", 1) for src, tgt in (("abc", "a"), ("abcd", "abc"), ("a", "a"), ("a", "b"))]
    lengths = ("data.max_characters=3", "data.max_length_ratio=2.0")
    assert judged(pairs, *lengths) == ["length_ratio", "too_long", "copy", None]
    assert judged(pairs, *lengths, "data.drop_copies=false") == ["length_ratio", "too_long", None, None]


def test_duplicates_are_dropped_if_the_settings_say_so() -> None:
    assert (pair_kind().drops_duplicates, pair_kind("data.drop_duplicates=false").drops_duplicates) == (True, False)


def test_the_same_pair_has_the_same_hash_wherever_it_stands() -> None:
    pairs = [Pair("a", "b", "f", 1), Pair("a", "b", "g", 2), Pair("ab", "", "f", 1)]
    one, again, other = pair_kind().hashes(pairs).tolist()
    assert one == again != other


def test_text_to_be_kept_out_of_training_is_a_reason_against_a_pair() -> None:
    own, pair = pair_kind("data.drop_overlap=['source']"), Pair("a", "b", "f", 1)
    overlap = own.overlap({"validation": [Pair("A", "c", "g", 1)]})
    judge = pickle.loads(pickle.dumps(own.make_judge(overlap)))  # as another process gets it
    assert judge([pair, Pair("b", "a", "f", 2)]) == ["overlap", None]
    keys = own.keys([pair])
    assert keys is not None
    assert overlap.count(keys)["validation"]["source"] == 1


def test_pairs_of_a_reversed_corpus_are_kept_apart_from_text_that_is_held_the_other_way_round() -> None:
    both = "data.corpora=[{path='a.tsv'}, {path='a.tsv', reversed=true}]"
    held, back = Pair("a", "b", "f", 1), Pair("b", "a", "g", 1)
    for settings, reasons in (([both], ["overlap", "overlap"]), ([], ["overlap", None])):
        own = pair_kind("data.drop_overlap=['pair']", *settings)
        judge = own.make_judge(own.overlap({"validation": iter([held])}))
        assert judge([held, back]) == reasons


def test_training_pairs_are_masked_only_where_both_sides_agree() -> None:
    assert pair_kind("tokenizer.placeholders=['number']").mask_train(TEXTS, None) == (["[NUM]", "7"], ["[NUM]", "a"])
    assert pair_kind().mask_train(TEXTS, None) == TEXTS


def test_the_tag_of_a_corpus_is_put_before_its_sources() -> None:
    own = pair_kind("tokenizer.placeholders=['number']")
    assert own.mask_train(TEXTS, "<web>") == (["<web> [NUM]", "<web> 7"], ["[NUM]", "a"])


def test_validation_sources_are_masked_as_for_translation() -> None:
    own = pair_kind("tokenizer.placeholders=['number']")
    assert own.mask_valid(TEXTS, [None, None]) == (["[NUM]", "[NUM]"], ["[NUM]", "a"])


def test_each_validation_source_has_its_own_tag_or_none() -> None:
    own = pair_kind("tokenizer.placeholders=['number']")
    assert own.mask_valid(TEXTS, ["<a7>", None]) == (["<a7> [NUM]", "[NUM]"], ["[NUM]", "a"])


def test_a_joint_tokenizer_learns_from_both_sides_and_separate_ones_from_their_own() -> None:
    def masked() -> list[tuple[str, str]]:
        return [("a", "b"), ("c", "d")]

    def texts(*overrides: str) -> dict[str, list[str]]:
        return {
            name: list(lines()) for name, lines in pair_kind(*overrides).tokenizer_texts(lambda: iter(masked())).items()
        }

    assert texts() == {JOINT_MODEL: ["a", "b", "c", "d"]}
    assert texts("tokenizer.joint=false") == {SRC_MODEL: ["a", "c"], TGT_MODEL: ["b", "d"]}


def test_some_are_held_out_at_random_and_the_seed_decides_which() -> None:
    chosen = [pair_kind(f"data.seed={seed}").hold_out(100, 30).tolist() for seed in (1, 1, 2)]
    assert [len(one) for one in chosen] == [30, 30, 30]
    assert chosen[0] == chosen[1] != chosen[2]


def line_kind(*overrides: str) -> LineKind:
    return LineKind(load_settings(None, overrides))


def test_lines_are_read_in_the_order_of_the_files_and_normalised(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(" cafe\u0301\n\n")
    (tmp_path / "a").write_text("x\r\n")
    settings = load_settings(None, [f"data.root={tmp_path}", "data.train_text=['b', 'a']", "data.valid_text=a"])
    inputs = find_text(settings.data)
    lines = [
        Line("caf\u00e9", str(tmp_path / "b"), 1),
        Line("", str(tmp_path / "b"), 2),
        Line("x", str(tmp_path / "a"), 1),
    ]
    [train], [valid] = inputs.train, inputs.valid
    assert list(train.source.records()) == lines
    assert list(valid.source.records()) == list(valid.source.records()) == lines[2:]
    assert inputs.test is None


def test_only_blank_lines_are_rejected_whatever_pairs_have_to_be() -> None:
    judge = pickle.loads(pickle.dumps(line_kind("data.max_characters=3").make_judge(Overlap({}))))
    lines = [Line(text, "f", 1) for text in ("abcd", "abcd", "", "a" * 5000)]
    assert judge(lines) == [None, None, "empty", None]


def test_lines_may_come_again_and_stand_in_any_other_text() -> None:
    own, line = line_kind("data.drop_overlap=['source']"), Line("a", "f", 1)
    assert not own.drops_duplicates
    assert own.keys([line]) is None
    assert own.overlap({"validation": [line]}).sets == {}


def test_the_last_lines_are_held_out() -> None:
    assert line_kind().hold_out(5, 2).tolist() == [3, 4]


def test_lines_are_masked_in_training_and_validation_alike() -> None:
    own, texts = line_kind("tokenizer.placeholders=['number']"), (["7 a"],)
    assert own.mask_train(texts, None) == own.mask_valid(texts, [None]) == (["[NUM] a"],)
    assert line_kind().mask_train(texts, None) == own.texts([Line("7 a", "f", 1)]) == texts


def test_the_only_tokenizer_is_the_joint_one_also_with_settings_of_pairs() -> None:
    texts = line_kind("tokenizer.joint=false").tokenizer_texts(lambda: iter([("a",), ("b",)]))
    assert {name: list(lines()) for name, lines in texts.items()} == {JOINT_MODEL: ["a", "b"]}
