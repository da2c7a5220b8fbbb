import pickle
from pathlib import Path

from nmt.config import load_settings
from nmt.corpus.hashes import Overlap
from nmt.io.lines import Line
from nmt.prepare.inputs import find_text
from nmt.prepare.kinds import LineKind
from nmt.text.tokenizer import JOINT_MODEL


def corpus(*overrides: str) -> LineKind:
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
    judge = pickle.loads(pickle.dumps(corpus("data.max_characters=3").make_judge(Overlap({}))))
    lines = [Line(text, "f", 1) for text in ("abcd", "abcd", "", "a" * 5000)]
    assert judge(lines) == [None, None, "empty", None]


def test_lines_may_come_again_and_stand_in_any_other_text() -> None:
    own, line = corpus("data.drop_overlap=['source']"), Line("a", "f", 1)
    assert not own.drops_duplicates
    assert own.keys([line]) is None
    assert own.overlap({"validation": [line]}).sets == {}


def test_the_last_lines_are_held_out() -> None:
    assert corpus().hold_out(5, 2).tolist() == [3, 4]


def test_lines_are_masked_in_training_and_validation_alike() -> None:
    own, texts = corpus("tokenizer.placeholders=['number']"), (["7 a"],)
    assert own.mask_train(texts, None) == own.mask_valid(texts, [None]) == (["[NUM] a"],)
    assert corpus().mask_train(texts, None) == own.texts([Line("7 a", "f", 1)]) == texts


def test_the_only_tokenizer_is_the_joint_one_also_with_settings_of_pairs() -> None:
    texts = corpus("tokenizer.joint=false").tokenizer_texts(lambda: iter([("a",), ("b",)]))
    assert {name: list(lines()) for name, lines in texts.items()} == {JOINT_MODEL: ["a", "b"]}
