from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmt.config import SearchSettings
from nmt.errors import DataError, ModelError
from nmt.io.files import sha256
from nmt.models.folder import WEIGHTS, load_model, load_own_tokenizers, read_training
from nmt.models.prepacked import PrepackedLinear
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData, PreparedText
from nmt.search.engine import search_batches
from nmt.search.protocol import Hypothesis
from nmt.text.tokenizer import tokenizer_files
from nmt.text.vocab import SPACE_MARK
from nmt.training import lessons, translation
from nmt.training.adapting import Adaptation, adapt_model, read_corrections
from nmt.training.inheriting import ASLEEP
from nmt.training.lessons import Learner, Lesson
from nmt.translate import Translator

CPU = torch.device("cpu")
PAIR = ("bat cow den", "bato hato deno")


@pytest.fixture
def learn(toy_model: Path, toy_data: PreparedData, tmp_path: Path) -> "Learn":
    return Learn(toy_model, toy_data, tmp_path)


class Learn:
    def __init__(self, parent: Path, data: PreparedData, folder: Path) -> None:
        self.parent, self.data, self.folder = parent, data, folder

    def __call__(self, *pairs: tuple[str, str], name: str = "new") -> tuple[Path, Adaptation]:
        return self.folder / name, adapt_model(self.parent, self.folder / name, pairs, data=self.data)


def translations(folder: Path, *lines: str) -> list[str]:
    found = Translator.load(folder, device="cpu").translate(lines)
    return [best.text for best, *_ in found]


def test_a_correction_is_learnt_and_the_parent_is_untouched(learn: Learn) -> None:
    before = {path.name: sha256(path) for path in learn.parent.iterdir() if path.is_file()}
    new, done = learn(PAIR)
    (one,) = done.corrections
    assert (one.before, one.after, one.learnt, one.reason) == ("bato cowo deno", PAIR[1], True, "")
    assert translations(new, PAIR[0]) == [PAIR[1]]
    assert {path.name: sha256(path) for path in learn.parent.iterdir() if path.is_file()} == before


def test_a_translator_can_be_adapted_too(learn: Learn) -> None:
    new, done = Translator.adapt(learn.parent, learn.folder / "new", [PAIR], data=learn.data.folder)
    assert new.translate([PAIR[0]])[0][0].text == done.corrections[0].after == PAIR[1]


def test_other_sentences_with_the_word_follow_and_those_without_it_stay(learn: Learn) -> None:
    new, _ = learn(PAIR)
    lines = ["den cow", "cow log map", "kit log map", "jam gum jam"]
    assert translations(new, *lines) == ["deno hato", "hato logo mapo", "kito logo mapo", "jamo gumo jamo"]


def test_a_word_of_several_pieces_is_learnt_as_one_and_changes_no_row_but_that_which_it_replaces(learn: Learn) -> None:
    new, done = learn(("bat cow den", "bato bathato deno"))
    assert done.new_pieces == (f"{SPACE_MARK}bathato",)
    assert translations(new, "den cow", "cow log") == ["deno bathato", "bathato logo"]
    (old, _), (now, settings) = (load_model(folder, device=CPU) for folder in (learn.parent, new))
    size = len(old.output.bias)
    assert (len(now.output.bias), settings.tokenizer.vocab_size) == (size + 1, size + 1)
    changed = (now.output.weight[:size] != old.output.weight).any(dim=1).nonzero().flatten().tolist()
    assert changed == load_own_tokenizers(learn.parent).tgt.encode(["cowo"])[0][:1]


def test_a_word_that_the_tokenizer_has_is_no_new_piece(learn: Learn) -> None:
    new, done = learn(("bat cow den", "bato hat deno"))
    assert (done.new_pieces, done.corrections[0].learnt) == ((), True)
    assert [sha256(path) for path in tokenizer_files(new)] == [sha256(path) for path in tokenizer_files(learn.parent)]


def test_where_one_other_piece_will_do_there_is_no_new_one(learn: Learn, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_own_tokenizers(learn.parent).tgt
    before, after = tokenizer.encode(["bato bathato", "bato bathata"])
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    monkeypatch.setattr(Learner, "translate", lambda self, sources: [before for _ in sources])
    assert learn(("bat cow", "bato bathata"))[1].new_pieces == ()


def test_of_several_pieces_that_one_replaces_the_first_goes() -> None:
    assert Lesson(src=[5], tgt=[9], before=[7, 8]).pieces == {7, 9}


def test_corrections_with_the_same_new_word_share_its_piece(learn: Learn) -> None:
    _, done = learn(("bat cow", "bato bathato"), ("kit cow", "kito bathato"))
    assert done.new_pieces == (f"{SPACE_MARK}bathato",)
    assert [one.learnt for one in done.corrections] == [True, True]


def test_a_new_word_that_stands_in_a_source_is_no_new_piece(learn: Learn) -> None:
    assert learn(("bathato cow", "bathato bathato"))[1].new_pieces == ()


def test_data_of_the_parent_serve_its_larger_child(learn: Learn) -> None:
    first, _ = learn(("bat cow", "bato bathato"), name="first")
    done = adapt_model(first, learn.folder / "second", [("kit log", "kito logato")], data=learn.data)
    assert done.new_pieces == (f"{SPACE_MARK}logato",)
    assert translations(learn.folder / "second", "cow log") == ["bathato logato"]


def test_data_of_another_tokenizer_are_refused(learn: Learn, toy_text_data: PreparedText) -> None:
    other = replace(learn.data, tokenizers=toy_text_data.tokenizers)
    with pytest.raises(ModelError, match="was prepared with other tokenizers than those of"):
        adapt_model(learn.parent, learn.folder / "new", [PAIR], data=other)


def test_a_word_more_which_replaces_nothing_has_no_pairs_like_it(learn: Learn) -> None:
    _, done = learn(("bat cow", "bato cowo hat"))
    assert done.corrections[0].before == "bato cowo"


def test_corrections_are_learnt_together(learn: Learn) -> None:
    _, done = learn(PAIR, ("kit log", "kito jamo"))
    assert [one.after for one in done.corrections] == [PAIR[1], "kito jamo"]


def test_what_one_correction_replaces_is_not_taught_by_another(learn: Learn) -> None:
    new, _ = learn(PAIR, ("kit log", "jamo logo"))
    assert translations(new, "cow kit", "log kit cow") == ["hato jamo", "logo jamo hato"]


def test_a_word_that_is_only_added_has_no_pairs_like_it(learn: Learn) -> None:
    _, done = learn(("bat cow", "bato hato cowo"))
    (one,) = done.corrections
    assert one.learnt or one.reason.startswith(("it would cost", "4 rounds"))


def test_what_is_translated_so_already_changes_no_weight(learn: Learn) -> None:
    new, done = learn(("bat cow", "bato cowo"))
    assert sha256(new / WEIGHTS) == sha256(learn.parent / WEIGHTS)
    assert [one.reason for one in done.corrections] == ["it was translated so already"]


def test_a_line_written_anew_is_not_learnt(learn: Learn) -> None:
    _, done = learn(("bat cow", "gumo hato jamo kito logo mapo gumo hato jamo"))
    (one,) = done.corrections
    assert not one.learnt
    assert one.reason.endswith("other pieces, more than 8: a rewrite, which takes fine-tuning")


@pytest.mark.parametrize("target", ["bato cowo deno gumo", "bato hato gumo deno", "bato gumo"])
def test_what_happens_nowhere_in_the_training_data_is_learnt_or_the_reason_is_named(target: str, learn: Learn) -> None:
    _, done = learn((PAIR[0], target))
    (one,) = done.corrections
    assert one.learnt == (one.after == target) == (not one.reason)


@pytest.mark.parametrize("corrected", [[5, 8], [5, 9, 8]])
def test_what_leaves_pieces_that_were_to_go_is_not_learnt(corrected: list[int]) -> None:
    lesson = lessons.Lesson(src=[4], before=[5, 6, 7, 8], tgt=corrected)
    assert lesson.is_learnt(corrected)
    assert not lesson.is_learnt([5, 9, 7, 8])


@pytest.mark.parametrize(("before", "corrected", "row"), [([5, 6, 7], [5, 7], [5, 9, 7]), ([5, 6], [5], [5, 9])])
def test_a_line_from_which_pieces_only_go_is_not_learnt_while_others_come(
    before: list[int], corrected: list[int], row: list[int]
) -> None:
    lesson = Lesson(src=[4], before=before, tgt=corrected)
    assert lesson.is_learnt(corrected)
    assert not lesson.is_learnt(row)


def test_lines_and_guard_are_translated_as_the_settings_of_the_model_ask_for(
    learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = list[tuple[int, bool]]()

    def search(
        model: Seq2Seq, sources: list[list[int]], *, settings: SearchSettings, **others: bool
    ) -> list[Hypothesis]:
        searches.append((settings.beam_size, isinstance(model.output, PrepackedLinear)))
        return search_batches(model, sources, settings=settings, **others)

    for room in (lessons, translation):
        monkeypatch.setattr(room, "search_batches", search)
    learn(PAIR)
    assert len(searches) >= 4
    assert set(searches) == {(5, True)}


def test_what_the_model_has_no_piece_for_is_not_learnt(learn: Learn) -> None:
    _, done = learn((PAIR[0], "bato \U0001f600 deno"))
    assert [one.reason[:40] for one in done.corrections] == ["the model has no pieces for all of its w"]


@pytest.mark.parametrize(
    "pair", [("bat " * 5000, "bato"), ("\u200b", "bato"), ("bat", "bato " * 5000), ("bat", "\u200b")]
)
def test_a_correction_that_cannot_be_read_at_once_is_named(pair: tuple[str, str], learn: Learn) -> None:
    with pytest.raises(DataError, match=r"of correction 2 has [\d,]+ pieces, expected 1 to \d+, which data.max_pieces"):
        learn(PAIR, pair)


def test_what_costs_the_guarding_pairs_too_much_is_undone_and_named(
    learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "_BOUND", -1.0)
    new, done = learn(("bat cow den", "bato bathato deno"))
    now, old = (load_model(folder, device=CPU)[0].output for folder in (new, learn.parent))
    assert torch.equal(now.weight[: len(old.bias)], old.weight)
    assert now.bias.tolist() == [*old.bias.tolist(), ASLEEP]
    assert done.guard.before == done.guard.after
    (one,) = done.corrections
    assert (one.after, one.learnt) == (one.before, False)
    assert one.reason == "it would cost the validation pairs that guard more than -1.0 nats a piece"


def test_the_loss_at_the_end_is_that_of_the_rows_as_they_are_then(
    learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = list[float]()
    learnt = Learner.learn

    def learn_and_read_again(
        learner: Learner, asked: list[Lesson], guard: translation.Validator, loss: float
    ) -> tuple[str, float]:
        found = learnt(learner, asked, guard, loss)
        losses.extend([loss, found[1], learner.loss(guard)])
        return found

    monkeypatch.setattr(Learner, "learn", learn_and_read_again)
    _, done = learn(PAIR)
    before, after, again = losses
    assert (done.guard.before.loss, done.guard.after.loss) == (before, after)
    assert again == after != before


def test_pairs_with_the_replaced_words_do_not_guard(learn: Learn) -> None:
    _, done = learn(PAIR)
    texts = learn.data.valid.tgt_texts
    assert done.guard.pairs == sum("cowo" not in text.split() for text in texts) < len(texts)


def test_where_every_validation_pair_has_the_replaced_words_none_is_learnt(learn: Learn) -> None:
    guard = learn.data.valid.tgt_texts
    everything = [(text.replace("o ", " ").removesuffix("o"), "gumo") for text in guard]
    with pytest.raises(DataError) as error:
        learn(*everything)
    assert str(error.value) == (
        f"each of the 20 validation pairs of {learn.data.folder} holds what the corrections replace, so none can guard "
        "the rest"
    )


def test_the_same_corrections_give_the_same_weights(learn: Learn) -> None:
    one, _ = learn(PAIR, name="one")
    other, _ = learn(PAIR, name="other")
    assert sha256(one / WEIGHTS) == sha256(other / WEIGHTS)


def test_the_card_counts_the_corrections_and_names_the_parent(learn: Learn) -> None:
    new, _ = learn(PAIR, ("kit log", "kito logo"))
    card = read_training(new)
    assert (card["corrections"], card["learnt"]) == (2, 1)
    assert [parent["sha256"] for parent in card["parents"]] == [sha256(learn.parent / WEIGHTS)]


def test_a_folder_that_holds_files_is_refused(learn: Learn) -> None:
    (learn.folder / "new").mkdir()
    (learn.folder / "new" / "file").touch()
    with pytest.raises(ModelError, match="holds files already; choose a new or empty folder"):
        learn(PAIR)


def test_a_language_model_is_refused(toy_language_model: Path, toy_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a language model, expected a translation model"):
        adapt_model(toy_language_model, tmp_path / "new", [PAIR], data=toy_data)


def test_a_model_that_writes_from_right_to_left_is_refused(
    right_to_left_model: Path, toy_data: PreparedData, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"right-to-left has model.right_to_left = true; corrections teach"):
        adapt_model(right_to_left_model, tmp_path / "new", [PAIR], data=toy_data)


@pytest.mark.parametrize(
    ("line", "found"),
    [("a", "1 column with text of 1"), ("a\t ", "1 column with text of 2"), ("a\tb\tc", "3 columns with text of 3")],
)
def test_a_line_that_is_no_pair_is_named(line: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text(f"bat\tbato\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_corrections(path)
    assert str(error.value) == f"{path}, line 3: found {found}, expected 2: source <tab> corrected target"


def test_a_file_without_corrections_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_corrections(path)
    assert str(error.value) == f"{path} holds no corrections; expected lines of source <tab> corrected target"
