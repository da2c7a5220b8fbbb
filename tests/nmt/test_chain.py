import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nmt.chain import check_test_tag, find_test_texts, read_test, score_test, translate_test
from nmt.config import Settings, TokenizerSettings, change_settings, load_settings
from nmt.errors import ConfigError
from nmt.lm.scorer import LanguageScorer, Totals
from nmt.models.build import build_language_model
from nmt.models.folder import ModelFolder, Vocabularies
from nmt.prepare.pipeline import prepare
from nmt.prepare.tokenizing import train_tokenizers
from nmt.text.tokenizer import SRC_MODEL, TGT_MODEL, load_tokenizers
from nmt.translate import Options, Translation, Translator


def translate(model_dir: Path, src: Path, test_dir: Path, settings: Settings) -> tuple[Path, bool, list[object]]:
    calls: list[object] = []
    path, made = translate_test(
        model_dir, src, test_dir, settings, on_lines=lambda done, total: calls.append((done, total))
    )
    return path, made, calls


def test_the_test_text_is_translated_once_for_each_model_text_and_search(
    toy_model: Path, toy_text: Path, toy_settings: Settings, tmp_path: Path
) -> None:
    src, test_dir = tmp_path / "test.src", tmp_path / "test"
    shutil.copy(toy_text / "test.src", src)
    path, made, calls = translate(toy_model, src, test_dir, toy_settings)
    assert (made, calls[-1]) == (True, (20, 20))
    assert len(set(calls)) > 2, "lines are counted as they are translated"
    assert len(path.read_text(encoding="utf-8").splitlines()) == 20
    assert translate(toy_model, src, test_dir, toy_settings)[1:] == (False, [])
    other_search = load_settings(overrides=["search.beam_size=2"], base=toy_settings)
    assert translate(toy_model, src, test_dir, other_search)[1]
    assert translate(toy_model, src, test_dir, toy_settings)[1]
    src.write_text("bat cow\n", encoding="utf-8")
    path, made, _ = translate(toy_model, src, test_dir, toy_settings)
    assert (made, path.read_text(encoding="utf-8")) == (True, "bato cowo\n")
    path.write_text("altered\n", encoding="utf-8")
    assert translate(toy_model, src, test_dir, toy_settings)[1]


def test_the_test_text_is_translated_with_its_tag(
    toy_model: Path, toy_text: Path, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[str | None]()
    translation = Translator.translate

    def note(self: Translator, lines: Sequence[str], options: Options, **more: Any) -> list[list[Translation]]:
        given.append(options.tag)
        return translation(self, lines, options.model_copy(update={"tag": None}), **more)

    monkeypatch.setattr(Translator, "translate", note)
    tagged = load_settings(overrides=["data.test_tag=<a>"], base=toy_settings)
    for settings, made in ((toy_settings, True), (tagged, True), (tagged, False)):
        assert translate(toy_model, toy_text / "test.src", tmp_path, settings)[1] == made
    assert given == [None, "<a>"]


def test_what_is_left_open_of_the_search_is_as_the_model_has_it(
    toy_model: Path, toy_text: Path, toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_model = load_settings(overrides=["search.max_length_ratio=7.5", "search.beam_size=3"])
    monkeypatch.setattr("nmt.chain.read_settings", lambda folder: of_model)
    asked = load_settings(overrides=["search.beam_size=1"], base=toy_settings)
    translate(toy_model, toy_text / "test.src", tmp_path, asked)
    made_from = json.loads((tmp_path / "made-from.json").read_text())["search"]
    assert (made_from["beam_size"], made_from["max_length_ratio"]) == (1, 7.5)


def test_the_tokenizer_of_the_data_has_to_have_the_tag_of_the_test_text(tmp_path: Path) -> None:
    tokenizer = TokenizerSettings(kind="char", symbols=("<a>",), joint=False)
    train_tokenizers(tmp_path, tokenizer, {SRC_MODEL: lambda: iter(["ab"]), TGT_MODEL: lambda: iter(["cd"])}, pairs=1)
    check_test_tag(tmp_path, Settings())
    check_test_tag(tmp_path, load_settings(overrides=["data.test_tag=<a>"]))
    with pytest.raises(ConfigError, match=r"^data\.test_tag: the model knows no tag <b>; it has <a>$"):
        check_test_tag(tmp_path, load_settings(overrides=["data.test_tag=<b>"]))


def test_scores_are_kept_beside_the_translations(
    toy_model: Path, toy_text: Path, toy_settings: Settings, tmp_path: Path
) -> None:
    path, _, _ = translate(toy_model, toy_text / "test.src", tmp_path, toy_settings)
    scores = score_test(path, toy_text / "test.tgt", toy_settings)
    assert [score.metric for score in scores] == ["bleu", "chrf", "ter"]
    assert scores[0].score > 80
    kept = json.loads((tmp_path / "scores.json").read_text())
    assert kept[0] == {"metric": "BLEU", "score": scores[0].score, "signature": scores[0].signature}


def test_chinese_is_scored_by_words_that_are_found_in_it(toy_settings: Settings, tmp_path: Path) -> None:
    for name in ("test.tgt", "hypotheses.txt"):
        (tmp_path / name).write_text("小狗在花园里跑得很快。\n", encoding="utf-8")
    scores = score_test(tmp_path / "hypotheses.txt", tmp_path / "test.tgt", toy_settings)
    assert "|tok:zh|" in scores[0].signature


def test_small_letters_are_scored_without_regard_to_case(toy_settings: Settings, tmp_path: Path) -> None:
    for name, text in (("test.tgt", "Bato Cowo Deno Figo"), ("hypotheses.txt", "bato cowo deno figo")):
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    files = tmp_path / "hypotheses.txt", tmp_path / "test.tgt"
    small = change_settings(toy_settings, "data", {"lowercase": True})
    cased, lowercased = (score_test(*files, settings)[0] for settings in (toy_settings, small))
    assert (cased.score < 50, lowercased.score) == (True, pytest.approx(100))
    assert ("|case:mixed|" in cased.signature, "|case:lc|" in lowercased.signature) == (True, True)


def test_test_files_count_from_the_root_of_the_data(toy_text: Path, toy_settings: Settings) -> None:
    assert find_test_texts(toy_settings) == (toy_text / "test.src", toy_text / "test.tgt")
    assert find_test_texts(Settings()) == ()


def test_half_a_test_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a test text has two sides, but data.test_tgt is not set"):
        find_test_texts(load_settings(overrides=["data.test_src=a"]))
    with pytest.raises(ConfigError, match=r"a test text has two sides, but data.test_src is not set"):
        find_test_texts(load_settings(overrides=["data.test_tgt=a"]))


def test_the_test_file_of_a_language_model_counts_from_the_root_of_the_data() -> None:
    settings = load_settings(overrides=["data.root=here", "data.train_text=['a']", "data.test_text=test.txt"])
    assert find_test_texts(settings) == (Path("here/test.txt"),)
    assert find_test_texts(load_settings(overrides=["data.train_text=['a']"])) == ()


def test_a_test_text_of_the_other_kind_of_model_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.test_text is the test text of a language model, but data\.train_text"
    ):
        find_test_texts(load_settings(overrides=["data.test_text=a"]))
    with pytest.raises(ConfigError, match=r"^data\.test_src, _tgt and _tag are for translation; a language model"):
        find_test_texts(load_settings(overrides=["data.train_text=['a']", "data.test_src=a"]))
    with pytest.raises(ConfigError, match=r"^data\.test_src, _tgt and _tag are for translation; a language model"):
        find_test_texts(load_settings(overrides=["data.train_text=['a']", "data.test_tag=<a>"]))


@pytest.fixture
def language_model(tmp_path: Path) -> Path:
    """An untrained language model of words; its bias makes `a` the likeliest."""
    settings = load_settings(overrides=["model.kind=lm", "model.embedding_size=4", "model.hidden_size=4"])
    (tmp_path / "train.txt").write_text("a b a a\n" * 30)
    data = settings.data.model_copy(update={"root": tmp_path, "train_text": (Path("train.txt"),)})
    cutting = settings.tokenizer.model_copy(update={"kind": "word", "vocab_size": 16})
    prepare(tmp_path / "data", settings.model_copy(update={"data": data, "tokenizer": cutting}))
    model = build_language_model(settings.model, vocab_size=6, seed=1)
    files = load_tokenizers(tmp_path / "data").files
    folder = ModelFolder(tmp_path / "m", settings=settings, vocabularies=Vocabularies(6, 6, True), tokenizers=files)
    folder.create()
    folder.save(model, {})
    return folder.path


def test_a_language_model_reads_a_test_text_once(language_model: Path, tmp_path: Path) -> None:
    text, test_dir, settings = tmp_path / "test.txt", tmp_path / "test", Settings()
    text.write_text("a b\n\nb z\n", encoding="utf-8")
    found = read_test(language_model, text, test_dir, settings)
    assert (found.pieces, found.lines, found.unknown) == (6, 3, 1)  # a b </s> b <unk> </s>
    assert found == Totals().plus(LanguageScorer.load(language_model).score_text(["a b", "", "b z"]))
    made = (test_dir / "scores.json").stat().st_mtime_ns
    kept = json.loads((test_dir / "scores.json").read_text(encoding="utf-8"))["totals"]
    assert list(kept) == ["lines", "words", "unknown", "log_probability", "characters", "space_separated"]  # as ever
    assert read_test(language_model, text, test_dir, settings) == found
    assert (test_dir / "scores.json").stat().st_mtime_ns == made
    text.write_text("a b\n", encoding="utf-8")
    assert read_test(language_model, text, test_dir, settings).pieces == 3


@pytest.mark.parametrize("damaged", [None, [], {}, {"words": "many"}, {"of_the_future": 1}, {"lines": [3]}])
def test_damaged_totals_are_computed_anew(language_model: Path, tmp_path: Path, damaged: object) -> None:
    text, kept, settings = tmp_path / "test.txt", tmp_path / "test" / "scores.json", Settings()
    text.write_text("a b\n", encoding="utf-8")
    found = read_test(language_model, text, kept.parent, settings)
    whole = json.loads(kept.read_text())
    totals = {**whole["totals"], **damaged} if isinstance(damaged, dict) and damaged else damaged
    kept.write_text(json.dumps({**whole, "totals": totals}))
    assert read_test(language_model, text, kept.parent, settings) == found
    assert json.loads(kept.read_text()) == whole
