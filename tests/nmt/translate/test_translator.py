import re
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nmt.config import Settings, TrainingCorpusSettings, load_settings
from nmt.config.load import change_settings
from nmt.errors import ConfigError, ModelError, NmtWarning
from nmt.io import compressed
from nmt.io import lines as lines_module
from nmt.markup.spans import compile_pattern
from nmt.models.build import build_model
from nmt.models.devices import choose_search_precision, for_inference
from nmt.search.sampling import Sampling
from nmt.text.tokenizer import Tokenizer, Tokenizers, tokenizer_files
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.translate import Options, Translator
from nmt.translate.translator import Precision

from .conftest import TEXT, Echo, EchoWith, Place, best_texts

pytestmark = pytest.mark.filterwarnings("ignore:a model of pieces")


@pytest.mark.parametrize("folders", [1, 2])
def test_a_translator_says_in_which_arithmetic_it_computes(
    toy_model: Path, monkeypatch: pytest.MonkeyPatch, folders: int
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    found = Translator.load(*[toy_model] * folders, device="cpu", precision="auto")
    assert found.precision == "fp32"
    with pytest.warns(NmtWarning, match='using "fp32"$'):
        assert Translator.load(*[toy_model] * folders, device="cpu", precision="int8").precision == "fp32"
    monkeypatch.undo()
    found = Translator.load(*[toy_model] * folders, device="cpu", precision="auto")
    assert found.precision == choose_search_precision("auto", torch.device("cpu"))


def test_translations_come_in_the_order_of_the_lines(echo: Translator) -> None:
    lines = ["a dog", "the cat sleeps .", "the", "a dog and a cat run ."]
    assert best_texts(echo, lines) == lines


def test_blank_lines_give_empty_translations_in_no_parts(echo: Translator) -> None:
    found = echo.translate(["", "a dog", " \t\u3000"], Options(n_best=2))
    assert [[(one.text, one.parts) for one in found[row]] for row in (0, 2)] == [[("", 0)], [("", 0)]]
    assert found[1][0].text == "a dog"


def test_no_lines_give_no_translations(echo: Translator) -> None:
    assert echo.translate([]) == []


def test_a_long_line_is_cut_translated_in_parts_and_joined(echo_with: EchoWith) -> None:
    translator = echo_with("data.max_pieces=8")
    line = "the dog runs . a cat sleeps . the cat and a dog sleep . 0123456789ABCDEF dogs run ."
    [[whole], [short]] = translator.translate([line, "a dog"])
    assert re.sub(r"\s", "", whole.text) == re.sub(r"\s", "", line)
    assert whole.parts >= len(translator.tokenizers.src.encode([line])[0]) // 8
    assert (short.parts, whole.cut, short.cut) == (1, True, False)


def test_a_cut_line_has_the_scores_of_its_parts_together(random_model: Translator) -> None:
    sentence = "the dog and a cat run ."
    [alone] = random_model.translate([sentence], Options(n_best=3))
    [twice] = random_model.translate([f"{sentence} {sentence}"], Options(n_best=3))
    assert [one.parts for one in twice] == [2, 2, 2]
    assert [one.text for one in twice] == [f"{one.text} {one.text}".strip() for one in alone]
    assert [one.score for one in twice] == [2 * one.score for one in alone]
    assert [one.log_probability for one in twice] == [2 * one.log_probability for one in alone]


def test_n_best_are_sorted_and_begin_with_the_best(random_model: Translator) -> None:
    [found] = random_model.translate(["the dog runs ."], Options(beam_size=5, n_best=5))
    scores = [one.score for one in found]
    assert len(found) == 5
    assert scores == sorted(scores, reverse=True)
    assert random_model.translate(["the dog runs ."], Options(beam_size=5)) == [found[:1]]


def test_search_settings_are_the_models_own_unless_others_are_given(random_model: Translator) -> None:
    lines = ["the dog runs ."]
    assert random_model.translate(lines) == random_model.translate(lines, Options(beam_size=3, length_penalty=1.0))
    [[plain]] = random_model.translate(lines, Options(length_penalty=0.0))
    assert plain.score == plain.log_probability


WORDS = st.sampled_from(
    ["dog", "the", "cat", ".", "\t", "7", "é", "e\u0301", "\u2028", "\0", "😀", "[NUM]", "\u2581", "走", "<b>", "{x}"]
)
LINES = st.lists(st.one_of(st.text(max_size=30), st.lists(WORDS, max_size=12).map(" ".join)), max_size=6)
# each asks for something else of attention, cutting and search
WISHES = [
    Options(beam_size=2),
    Options(beam_size=1),
    Options(sampling=Sampling(top_k=5), n_best=2),
    Options(markup=True, alignment=True, unknown={}),
    Options(document=True, details=True, coverage_penalty=0.2),
    Options(required=("dog",), forbidden=("cat",), prefix_after_tab=True, min_length_ratio=0.5, no_repeat_ngram=2),
]


@given(lines=LINES, wish=st.sampled_from(WISHES), batch_tokens=st.integers(1, 500))
@settings(max_examples=20)
def test_lines_of_any_content_in_batches_of_any_size_are_each_translated_as_if_alone(
    random_model: Translator, lines: list[str], wish: Options, batch_tokens: int
) -> None:
    together = random_model.translate(lines, wish.model_copy(update={"batch_tokens": batch_tokens}))
    alone = [random_model.translate([line], wish, first_line=number)[0] for number, line in enumerate(lines)]
    assert together == alone
    for found in together:
        assert not set("\r\n") & set(found[0].text)


def test_line_ends_never_get_into_a_translation(echo: Translator) -> None:
    tokenizer = Tokenizer(train_tokenizer([*TEXT, "A\rB\rC"], TokenizerPlan("unigram", 50)))
    speaker = replace(echo, model=replace(echo.model, vocab_size=50), tokenizers=Tokenizers(tokenizer, tokenizer))  # type: ignore[type-var]
    assert tokenizer.decode(tokenizer.encode(["A\rB"])) == ["A\rB"]
    assert best_texts(speaker, ["A\rB"]) == ["A B"]


def test_threads_that_share_a_translator_get_what_each_gets_alone(random_model: Translator) -> None:
    jobs = [([line] * 3 + TEXT, wish) for line, wish in zip(TEXT, WISHES, strict=True)]
    alone = [random_model.translate(*job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda job: random_model.translate(*job), jobs * 2))
    assert found == alone * 2


def test_unknown_words_are_copied_or_looked_up(echo: Translator) -> None:
    for carries in (True, False):
        assert ("走" in best_texts(echo, ["a 走 dog"], Options(carry_unknown=carries))[0]) == carries
        options = Options(carry_unknown=carries, unknown={})
        assert best_texts(echo, ["a 走 dog"], options) == ["a 走 dog"]
        options = Options(carry_unknown=carries, unknown={"走": "running"})
        assert best_texts(echo, ["a 走 dog"], options) == ["a running dog"]


def test_replacing_unknown_words_in_a_model_of_pieces_is_warned_about(echo: Translator) -> None:
    with pytest.warns(
        NmtWarning, match=r"^a model of pieces \(tokenizer\.kind = unigram\) hardly ever writes <unk>, so there "
    ):
        echo.translate([], Options(unknown={}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        echo.translate([], Options(unknown={"走": "running"}))


def test_a_line_of_any_length_is_one_line_made_of_its_sections(
    echo: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (compressed, lines_module):
        monkeypatch.setattr(module, "SECTION_BYTES", 40)
    line = " ".join(["the dog runs ."] * 10)
    lines = ["a dog", line, "", "a cat"]
    found = echo.translate(lines, Options(alignment=True))
    assert [one.text for [one] in found] == lines
    assert [one.begun for [one] in found] == [None] * 4
    [[_], [long], [_], [_]] = found
    assert (long.cut, long.parts) == (True, 4)
    assert long.alignment == tuple((index, index) for index in range(40))
    [[one, two]] = echo.translate([line], Options(n_best=2, beam_size=2))
    assert one.text == line != two.text


def test_a_long_line_of_which_the_model_has_read_nothing_was_not_cut_for_it(
    echo: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (compressed, lines_module):
        monkeypatch.setattr(module, "SECTION_BYTES", 40)
    [[one]] = echo.translate([" ".join(["\U0001f600"] * 50)])
    assert (one.text, one.parts, one.cut) == (" ".join(["\U0001f600"] * 50), 0, False)


def test_sections_of_a_document_keep_the_white_space_between_them(
    echo: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (compressed, lines_module):
        monkeypatch.setattr(module, "SECTION_BYTES", 24)
    line = "<p>the dog <b>runs</b>  </p><script>if (a  <  b) { c  = 1 }</script>   a cat"
    assert best_texts(echo, [line], Options(markup=True)) == [line]


def test_a_line_of_nothing_but_placeholders_comes_back_as_it_is(echo_with: EchoWith) -> None:
    masking = echo_with('tokenizer.placeholders=["number"]')
    assert best_texts(masking, ["12345", "7, 8 - 9", "7 dogs"]) == ["12345", "7, 8 - 9", "7 dogs"]
    [[kept], [translated]] = masking.translate(["12345", "7 dogs"])
    assert (kept.parts, translated.parts) == (0, 1)


def test_markup_stays_with_its_words(toy: Translator) -> None:
    lines = ["<b>bat</b> cow {n}", "<br/>", "", "@bat cow"]
    options = Options(markup=True, keep=compile_pattern("@[a-z]+"))
    assert best_texts(toy, lines, options) == ["<b>bato</b> cowo {n}", "<br/>", "", "@bat cowo"]


def test_alignments_and_attention_are_those_of_the_text(toy: Translator) -> None:
    [[one], [blank]] = toy.translate(["bat cow hat", ""], Options(alignment=True, details=True))
    assert one.text == "bato cowo hato"
    assert one.alignment == ((0, 0), (1, 1), (2, 2))
    assert one.details is not None
    [part] = one.details
    assert "".join(part.src).replace("\u2581", " ").strip() == "bat cow hat"
    assert "".join(part.tgt).replace("\u2581", " ").strip() == "bato cowo hato"
    assert part.attention.dtype == np.float32
    assert part.attention.shape == (len(part.tgt), len(part.src))
    assert (part.attention.sum(axis=1) <= 1 + 1e-5).all()
    assert (blank.text, blank.alignment, blank.details) == ("", (), ())


def test_paragraphs_are_translated_sentence_by_sentence(echo: Translator) -> None:
    [[one], [other]] = echo.translate(["A dog runs. A cat sleeps.", "a dog"], Options(document=True))
    assert (one.text, one.parts, one.cut) == ("A dog runs. A cat sleeps.", 2, False)
    assert (other.text, other.parts) == ("a dog", 1)


def test_samples_depend_on_the_seed_and_the_number_of_the_line(random_model: Translator) -> None:
    def drawn(seed: int, first_line: int = 0) -> list[list[str]]:
        options = Options(sampling=Sampling(seed=seed), n_best=3)
        found = random_model.translate(["a dog"] * 2, options, first_line=first_line)
        return [[one.text for one in line] for line in found]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1)[0] != drawn(1)[1]
    assert drawn(1)[1] == drawn(1, first_line=1)[0]


def test_a_shortlist_that_was_not_learnt_is_an_error(toy: Translator) -> None:
    expected = r"^search\.shortlist = 32 needs what `nmt shortlist MODEL_DIR DATA_DIR` learns, and a single model$"
    with pytest.raises(ConfigError, match=expected):
        toy.translate(["bat"], Options(shortlist=32))


class OnAGpu:
    """A model that says it is on a GPU."""

    device = torch.device("cuda", 0)

    def __init__(self, model: object) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


def test_on_a_gpu_the_whole_vocabulary_is_scored_whatever_shortlist_the_settings_say(
    toy: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    model: Any = OnAGpu(toy.model)
    on_a_gpu = replace(toy, model=model, settings=change_settings(toy.settings, "search", {"shortlist": 32}))
    with pytest.warns(NmtWarning, match=r"^search\.shortlist = 32 is for CPUs; using 0$"):
        on_a_gpu.flow()  # and there is no lexicon


@pytest.mark.filterwarnings("ignore:precision")  # some processors lack one, and another is used
@pytest.mark.parametrize("precision", get_args(Precision))
def test_every_precision_translates(toy_model: Path, precision: Precision) -> None:
    translator = Translator.load(toy_model, device="cpu", precision=precision)
    lines = ["bat cow", "", "hat jam kit log"]
    assert best_texts(translator, lines) == ["bato cowo", "", "hato jamo kito logo"]
    [[best]] = translator.translate(["bat cow"])
    [alone, *_] = translator.translate(["bat cow", "hat jam kit log"])
    assert alone == [best]


def test_loading_computes_with_one_thread(toy_model: Path) -> None:
    torch.set_num_threads(2)
    Translator.load(toy_model, device="cpu")
    assert torch.get_num_threads() == 1


def test_what_is_no_model_is_named(toy_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist$"):
        Translator.load(tmp_path / "nowhere", device="cpu")
    damaged = tmp_path / "damaged"
    shutil.copytree(toy_model, damaged, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    [tokenizer] = tokenizer_files(damaged)
    tokenizer.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=re.escape(tokenizer.name)):
        Translator.load(damaged, device="cpu")


@pytest.mark.parametrize(
    ("wish", "what"), [({"alignment": True}, "word alignment"), ({"unknown": {}}, "UNK replacement")]
)
def test_a_model_without_attention_refuses_what_only_attention_says(
    wish: dict[str, Any], what: str, random_model: Translator
) -> None:
    plain = replace(random_model, attends=False)
    message = f'{what} needs attention, and the model has none (model.attention = "none")'
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        plain.translate(["the dog runs ."], Options(**wish))
    assert random_model.translate(["the dog runs ."], Options(**wish))


def test_a_model_without_attention_places_markup_at_its_share_of_the_line(
    tokenizers: Tokenizers, tiny_settings: Settings
) -> None:
    chosen = load_settings(overrides=["model.attention=none"], base=tiny_settings)
    size = len(tokenizers.src)
    model = build_model(chosen.model, src_vocab_size=size, tgt_vocab_size=size, joint=True, seed=3)
    plain = Translator(for_inference(model, "fp32"), tokenizers, chosen, attends=False)
    [[bare]] = plain.translate(["the dog runs ."], Options(details=True))
    assert bare.alignment == ()
    assert bare.details is not None
    assert not bare.details[0].attention.any()
    [[marked]] = plain.translate(["<b>the dog runs .</b>"], Options(markup=True))
    assert marked.text == f"<b>{bare.text}</b>"


def test_a_single_text_is_no_list_of_lines(toy: Translator) -> None:
    with pytest.raises(TypeError, match=r"^translate takes a list of lines, found one str; write \[text\]$"):
        toy.translate("bat cow")


def test_a_folder_may_be_named_by_a_str(toy_model: Path) -> None:
    assert best_texts(Translator.load(str(toy_model), precision="fp32"), ["bat"]) == ["bato"]


def test_a_model_of_tagged_text_asks_for_a_tag(toy: Translator) -> None:
    def translator(tags: Sequence[str | None], **data: object) -> Translator:
        corpora = tuple(TrainingCorpusSettings(path=("a.tsv",), tag=tag) for tag in tags)
        changes = {"train_src": (), "corpora": corpora, **data}
        settings = toy.settings.model_copy(update={"data": toy.settings.data.model_copy(update=changes)})
        return replace(toy, settings=settings)

    with pytest.warns(NmtWarning, match=r"^all training sentences of this model have a tag: <a>, <b>; name one$"):
        translator(["<a>", "<b>", "<a>"]).translate(["bat"])
    for untagged in (
        translator([]),
        translator(["<a>", None]),
        translator(["<a>"], train_src=(Path("x"),)),
        translator(["<a>"], train_tsv=(Path("x"),)),
    ):
        assert best_texts(untagged, ["bat"]) == ["bato"]


@dataclass(frozen=True)
class Shy(Echo):
    """Says "a" rather than one of the words that it hears."""

    unsaid: int = 0
    instead: int = 0

    def step(self, prev_ids: Tensor, state: Place) -> tuple[Tensor, Place]:
        logits, state = super().step(prev_ids, state)
        logits[..., self.instead] = torch.where(logits[..., self.unsaid] > 0, 60.0, logits[..., self.instead])
        return logits, state


def test_a_number_that_the_model_does_not_say_is_in_its_translation_all_the_same(echo_with: EchoWith) -> None:
    masking = echo_with('tokenizer.placeholders=["number"]')
    pieces = masking.tokenizers.tgt.pieces
    shy = Shy(len(pieces), unsaid=pieces.index("[NUM]"), instead=pieces.index("\u2581a"))
    [[found]] = replace(masking, model=shy).translate(["the 7 dogs run ."])
    assert (found.text.count("7"), found.lost) == (1, ())
    [[sampled]] = replace(masking, model=shy).translate(["the 7 dogs run ."], Options(sampling=Sampling(top_k=1)))
    assert ("7" in sampled.text, sampled.lost) == (False, ("7",))


def test_a_model_without_attention_says_that_numbers_keep_their_order(echo_with: EchoWith) -> None:
    masking = replace(echo_with('tokenizer.placeholders=["number"]'), attends=False)
    with pytest.warns(NmtWarning, match="^a model without attention does not say where numbers and URLs go: "):
        masking.translate(["7 dogs 8"])
