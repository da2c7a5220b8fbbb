import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nmt.config import Settings, load_settings
from nmt.errors import ModelError
from nmt.text.tokenizer import Tokenizer, tokenizer_files
from nmt.text.vocab import EOS
from nmt.translate.language import TargetLanguage

MakeLanguageModel = Callable[..., Path]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(toy_model: Path) -> Path:
    [only] = tokenizer_files(toy_model)
    return only


def load(folder: Path, beside: Path, settings: Settings = Settings()) -> TargetLanguage:  # noqa: B008
    return TargetLanguage.load(folder, beside=beside, settings=settings, device=CPU, precision="fp32")


def test_a_text_has_the_probability_of_its_pieces_and_its_end(
    toy_model: Path, tokenizer: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    language = load(make_language_model(tmp_path / "lm", tokenizer), toy_model)
    texts = ["bato cowo", "", "  hato\u0301 ", "jamo " * 30]
    found = language.log_probabilities(texts)
    assert len(found) == 4
    for text, one in zip(["bato cowo", "", "hat\u00f3", "jamo " * 30], found, strict=True):
        [ids] = Tokenizer.load(tokenizer).encode([text.strip()])
        with torch.no_grad():
            features, _ = language.model(torch.tensor([[EOS, *ids]]))
            log_probs = language.model.output(features[0]).log_softmax(dim=1)
        expected = sum(float(row[word]) for row, word in zip(log_probs, [*ids, EOS], strict=True))
        assert one == pytest.approx(expected, abs=1e-4)
    assert found == [language.log_probabilities([text])[0] for text in texts]


def test_it_knows_whether_it_reads_the_pieces_that_are_written(
    toy_model: Path, tokenizer: Path, tmp_path: Path, tokenizer_bytes: bytes, make_language_model: MakeLanguageModel
) -> None:
    assert load(make_language_model(tmp_path / "own", tokenizer), toy_model).same_pieces
    foreign = tmp_path / tokenizer.name
    foreign.write_bytes(tokenizer_bytes)
    other = load(make_language_model(tmp_path / "other", foreign), toy_model)
    assert not other.same_pieces
    with pytest.raises(ModelError) as caught:
        other.fused(None, 0.5)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{tmp_path / 'other'} has another tokenizer than {toy_model} has for its translations; to choose words "
        "together they share it: prepare the text of the language model with `nmt prepare DATA_DIR --text FILE "
        f"--tokenizer {toy_model}`, or use it as it is with --lm-rescore"
    )


def test_one_that_reads_another_case_may_rescore_but_not_choose(
    toy_model: Path, tokenizer: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    small = load(make_language_model(tmp_path / "lm", tokenizer, "data.lowercase=true"), toy_model)
    assert small.log_probabilities(["BATO"]) == small.log_probabilities(["bato"])
    with pytest.raises(ModelError) as caught:
        small.fused(None, 0.5)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{tmp_path / 'lm'} and {toy_model} differ in data.lowercase; to choose words together they read text in one "
        "case: prepare that of the language model with the same, or use it as it is with --lm-rescore"
    )


def test_of_two_tokenizers_that_of_the_target_counts(
    tokenizer: Path, tmp_path: Path, tokenizer_bytes: bytes, make_language_model: MakeLanguageModel
) -> None:
    two = tmp_path / "two"
    two.mkdir()
    (two / "src.spm.model").write_bytes(tokenizer_bytes)
    (two / "tgt.spm.model").write_bytes(tokenizer.read_bytes())
    assert load(make_language_model(tmp_path / "lm", tokenizer), two).same_pieces
    (two / "src.spm.model").write_bytes(tokenizer.read_bytes())
    (two / "tgt.spm.model").write_bytes(tokenizer_bytes)
    assert not load(tmp_path / "lm", two).same_pieces


def test_text_with_other_placeholders_is_refused(
    toy_model: Path, tokenizer: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    folder = make_language_model(tmp_path / "lm", tokenizer, "tokenizer.placeholders=['number']")
    expected = (
        f"{folder} was trained with tokenizer.placeholders = ['number'], {toy_model} with []; a language model has to "
        "read what the translation model writes"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        load(folder, toy_model)
    same = load_settings(overrides=["tokenizer.placeholders=['number']"])
    assert load(folder, toy_model, same).same_pieces


def test_a_translation_model_is_no_language_model(toy_model: Path) -> None:
    with pytest.raises(ModelError, match=r"holds a translation model, expected a language model$"):
        load(toy_model, toy_model)
