from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.config.load import change_settings
from nmt.graph.miniature import Cut, imitate, prepare_some, read_some, save_untrained
from nmt.prepare.inputs import find_pairs
from nmt.prepared import PreparedData
from nmt.translate import Options, Translator


def test_the_number_of_lines_of_a_text_is_counted_unless_it_is_known(
    toy_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    [corpus] = find_pairs(toy_settings.data).train
    pairs, count = read_some(corpus.source, {})
    assert (len(pairs), count) == (400, 400)
    assert read_some(corpus.source, {corpus.source.files[1]: 5e6})[1] == 5e6
    monkeypatch.setattr("nmt.graph.miniature._BLOCK", 100)
    monkeypatch.setattr("nmt.graph.miniature._COUNTED", 200)
    monkeypatch.setattr("nmt.graph.miniature.READ", 100)
    pairs, count = read_some(corpus.source, {})
    assert len(pairs) == 100
    assert 150 <= count <= 400, "by its bytes, which are read in chunks"


def test_every_corpus_is_cut_to_the_same_share_and_keeps_weight_tag_and_direction(
    toy_settings: Settings, toy_text: Path, tmp_path: Path
) -> None:
    further = {"src": "train.src", "tgt": "train.tgt", "weight": 2, "tag": "<x>", "reversed": True}
    settings = change_settings(toy_settings, "data", {"corpora": [further]})
    cut = Cut.write(settings, tmp_path / "cut", {}, most=80)
    assert (cut.records, cut.share) == (80, 0.1)
    first, second = cut.settings.data.corpora
    assert (second.weight, second.tag, second.reversed) == (2.0, "<x>", True)
    pairs = [pair for corpus in find_pairs(cut.settings.data).train for pair in corpus.source.records()]
    assert len(pairs) == 80
    assert {(pair.src, pair.tgt) for pair in pairs[40:]} == {(pair.tgt, pair.src) for pair in pairs[:40]}
    assert first.weight == 1.0


def test_a_vocabulary_too_large_for_some_of_the_text_has_its_size_all_the_same(
    toy_settings: Settings, tmp_path: Path
) -> None:
    settings = change_settings(toy_settings, "tokenizer", {"vocab_size": 300})
    prepare_some(tmp_path / "data", Cut.write(settings, tmp_path / "cut", {}, most=400))
    assert len(PreparedData.open(tmp_path / "data").tokenizers.src) == 300


def test_a_size_that_is_left_open_is_that_of_the_whole_text(toy_settings: Settings, tmp_path: Path) -> None:
    settings = change_settings(toy_settings, "tokenizer", {"vocab_size": "auto"})
    prepare_some(tmp_path / "data", Cut.write(settings, tmp_path / "cut", {}, most=200))
    assert len(PreparedData.open(tmp_path / "data").tokenizers.src) == 1000, "that of 400 pairs"


def test_what_an_untrained_model_writes_is_as_long_as_the_targets_of_the_data(
    toy_data: PreparedData, toy_settings: Settings, tmp_path: Path
) -> None:
    save_untrained(tmp_path / "model", toy_settings, toy_data)
    translator = Translator.load(tmp_path / "model")
    lines = toy_data.valid.src_texts
    found = [best.details for best, *_ in translator.translate(lines, Options(details=True))]
    lengths = [len(part.tgt) for parts in found for part in parts or ()]
    assert sum(lengths) == pytest.approx(int(toy_data.valid.tgt.lengths.sum()), rel=0.3)


def test_a_translation_is_made_up_of_one_whose_source_is_about_as_long() -> None:
    known = [("aaaa", "long"), ("a", "short"), ("aa", "middle"), ("aa", "other")]
    assert imitate(known, ["b", "bb", "bb", "bbbbbbb"]) == ["short", "other", "middle", "long"]
