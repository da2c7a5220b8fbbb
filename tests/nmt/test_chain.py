import json
import shutil
from pathlib import Path

import pytest

from nmt.chain import TestTexts, find_test_texts, score_test, translate_test
from nmt.config import Settings, load_settings
from nmt.errors import ConfigError


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
    assert (made, calls) == (True, [(20, 20)])
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


def test_scores_are_kept_beside_the_translations(
    toy_model: Path, toy_text: Path, toy_settings: Settings, tmp_path: Path
) -> None:
    texts = TestTexts(toy_text / "test.src", toy_text / "test.tgt")
    path, _, _ = translate(toy_model, texts.src, tmp_path, toy_settings)
    scores = score_test(path, texts, toy_settings)
    assert [score.metric for score in scores] == ["bleu", "chrf", "ter"]
    assert scores[0].score > 80
    kept = json.loads((tmp_path / "scores.json").read_text())
    assert kept[0] == {"metric": "BLEU", "score": scores[0].score, "signature": scores[0].signature}


def test_test_files_count_from_the_root_of_the_data(toy_text: Path, toy_settings: Settings) -> None:
    assert find_test_texts(toy_settings) == TestTexts(toy_text / "test.src", toy_text / "test.tgt")
    assert find_test_texts(Settings()) is None


def test_half_a_test_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a test text has two sides, but data.test_tgt is not set"):
        find_test_texts(load_settings(overrides=["data.test_src=a"]))
    with pytest.raises(ConfigError, match=r"a test text has two sides, but data.test_src is not set"):
        find_test_texts(load_settings(overrides=["data.test_tgt=a"]))
