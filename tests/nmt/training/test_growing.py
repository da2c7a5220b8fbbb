import json
import threading
from pathlib import Path
from typing import Literal

import pytest
import torch

from nmt.config import load_settings
from nmt.errors import ConfigError, ModelError
from nmt.models.folder import load_either, load_own_tokenizers, read_settings
from nmt.models.seq2seq import Seq2Seq
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.text.vocab import SPACE_MARK
from nmt.training.growing import add_to_vocabulary, find_wanting
from nmt.training.inheriting import ASLEEP
from nmt.training.observers import Silence
from nmt.training.trainer import train
from nmt.translate import Options, Translator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def grown(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model with a piece and a symbol more."""
    folder = tmp_path_factory.mktemp("grown") / "model"
    new = add_to_vocabulary(toy_model, folder, src=[" bathat"], tgt=[" bathato"], symbols=["<b>"])
    assert new == {"joint": (f"{SPACE_MARK}bathat", f"{SPACE_MARK}bathato", "<b>")}
    return folder


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_larger_model_translates_as_before(
    toy_text: Path, toy_model: Path, grown: Path, beam_size: int, precision: Literal["fp32", "int8"]
) -> None:
    lines = (toy_text / "test.src").read_text(encoding="utf-8").splitlines()
    options = Options(beam_size=beam_size)
    old, new = (
        Translator.load(folder, device="cpu", precision=precision).translate(lines, options)
        for folder in (toy_model, grown)
    )
    assert new == old


def test_a_new_piece_reads_as_the_mean_of_its_parts_and_is_never_written(toy_model: Path, grown: Path) -> None:
    (old, _), (new, settings) = (load_either(folder, device=CPU) for folder in (toy_model, grown))
    assert isinstance(old, Seq2Seq)
    assert isinstance(new, Seq2Seq)
    tokenizer = load_own_tokenizers(toy_model).src
    before, after = old.src_embedding.table.weight, new.src_embedding.table.weight
    size = len(before)
    assert len(after) == size + 3
    assert torch.equal(after[:size], before)
    torch.testing.assert_close(after[size], before[tokenizer.encode(["bathat"])[0]].mean(dim=0))
    assert new.output.bias[size:].tolist() == [ASLEEP] * 3
    assert torch.softmax(new.output(torch.ones(1, new.output.in_features)), dim=1)[0, size:].tolist() == [0.0] * 3
    assert (settings.tokenizer.vocab_size, settings.tokenizer.symbols) == (size + 3, ("<b>",))


def test_the_card_says_what_was_added_to_what(toy_model: Path, grown: Path) -> None:
    training = json.loads((grown / "model.json").read_text())["training"]
    assert training["added_pieces"] == {"joint": [f"{SPACE_MARK}bathat", f"{SPACE_MARK}bathato", "<b>"]}
    assert [one["model"] for one in training["parents"]] == [toy_model.name]


def test_two_tokenizers_get_their_own_pieces(toy_text: Path, tmp_path: Path) -> None:
    overrides = ["tokenizer.joint=false", "tokenizer.vocab_size=30", "training.max_steps=1"]
    prepare(tmp_path / "data", load_settings(toy_text / "toy.toml", overrides))
    data, settings = PreparedData.open(tmp_path / "data"), load_settings(toy_text / "toy.toml", overrides)
    train(data, tmp_path / "m", settings, observer=Silence(), stop=threading.Event())
    new = add_to_vocabulary(tmp_path / "m", tmp_path / "n", src=[" bathat"], tgt=[], symbols=["<b>"])
    assert new == {"src": (f"{SPACE_MARK}bathat", "<b>"), "tgt": ("<b>",)}
    model, _ = load_either(tmp_path / "n", device=CPU)
    assert isinstance(model, Seq2Seq)
    assert (len(model.src_embedding.table.weight), len(model.output.bias)) == (32, 31)


def test_nothing_new_is_refused_and_so_is_a_folder_with_files(toy_model: Path, grown: Path, tmp_path: Path) -> None:
    known = load_own_tokenizers(toy_model).tgt.pieces[6]
    with pytest.raises(ConfigError, match=r"has all of these pieces already$"):
        add_to_vocabulary(toy_model, tmp_path / "m", src=[known], tgt=[], symbols=[])
    with pytest.raises(ModelError, match=r"holds files already; choose a new or empty folder$"):
        add_to_vocabulary(toy_model, grown, src=[" bathat"], tgt=[], symbols=[])
    assert not (tmp_path / "m").exists()


def test_a_symbol_that_no_settings_may_name_is_refused_before_anything_is_written(
    toy_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"found the symbol '§', expected two characters or more"):
        add_to_vocabulary(toy_model, tmp_path / "m", src=[], tgt=[], symbols=["§"])
    assert not (tmp_path / "m").exists()


def test_texts_are_searched_for_what_the_model_lacks(toy_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "terms.txt"
    text.write_text("bat Quizquiz\nQuizquiz cow\n", encoding="utf-8")
    found = find_wanting(toy_model, [text], min_count=2, limit=100, on_bad_utf8="error")
    assert f"{SPACE_MARK}Quizquiz" in found["src"]
    assert found["src"] == found["tgt"]
    assert find_wanting(toy_model, [], min_count=2, limit=100, on_bad_utf8="error") == {"src": [], "tgt": []}


def test_the_settings_of_a_larger_model_are_read_again(toy_model: Path, grown: Path) -> None:
    assert read_settings(grown).model == read_settings(toy_model).model
