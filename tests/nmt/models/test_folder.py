import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, get_args

import pytest
import torch
from safetensors.torch import load_file

from nmt.config import Settings, load_settings
from nmt.config.model import Cell
from nmt.errors import ModelError
from nmt.io.files import replacing, sha256
from nmt.models.build import build_language_model, build_model
from nmt.models.folder import (
    ModelFolder,
    Vocabularies,
    check_hashes,
    load_either,
    load_language_model,
    load_model,
    load_own_tokenizers,
    load_tensors,
    put_lexicon,
    read_tensors,
    read_vocabularies,
)
from nmt.models.seq2seq import Seq2Seq

CPU = torch.device("cpu")


def small_settings() -> Settings:
    return load_settings(overrides=["model.embedding_size=4", "model.hidden_size=6", "model.encoder_layers=1"])


def small_model(seed: int = 1) -> Seq2Seq:
    return build_model(small_settings().model, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=seed)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    model_folder = ModelFolder(
        tmp_path / "model",
        settings=small_settings(),
        vocabularies=Vocabularies(9, 9, True),
        tokenizers={"joint.spm.model": b"pieces"},
    )
    model_folder.create()
    model_folder.save(small_model(), {})
    return model_folder


def test_a_saved_model_loads_with_the_same_weights_and_settings(folder: ModelFolder) -> None:
    model = small_model()
    folder.save(model, {"step": 3})
    loaded, settings = load_model(folder.path, device=CPU)
    assert settings == small_settings()
    assert not loaded.training
    for (name, ours), (_, theirs) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    assert json.loads((folder.path / "model.json").read_text())["training"] == {"step": 3}
    assert (folder.path / "joint.spm.model").read_bytes() == b"pieces"


def test_a_kill_between_the_two_files_leaves_a_model_that_loads(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(small_model(1), {})
    old_weights = (folder.path / "model.safetensors").read_bytes()
    cards: list[bytes] = []
    original = ModelFolder._write_card

    def spy(self: ModelFolder, hashes: list[str], summary: dict[str, float]) -> None:
        original(self, hashes, summary)
        cards.append((folder.path / "model.json").read_bytes())

    monkeypatch.setattr(ModelFolder, "_write_card", spy)
    folder.save(small_model(2), {})
    (folder.path / "model.json").write_bytes(cards[0])  # killed after the weights were replaced
    load_model(folder.path, device=CPU)
    (folder.path / "model.safetensors").write_bytes(old_weights)  # killed before
    load_model(folder.path, device=CPU)
    (folder.path / "model.json").write_bytes(cards[1])
    with pytest.raises(ModelError, match="altered"):
        load_model(folder.path, device=CPU)


def test_new_settings_in_a_folder_that_holds_a_model_leave_a_model_that_loads(folder: ModelFolder) -> None:
    search = folder.settings.search.model_copy(update={"beam_size": 3})
    changed = folder.settings.model_copy(update={"search": search})
    replace(folder, settings=changed).create()
    _, settings = load_model(folder.path, device=CPU)
    assert settings.search.beam_size == 3


def test_an_unchanged_file_is_not_written_again(folder: ModelFolder) -> None:
    before = {path.name: path.stat().st_ino for path in folder.path.iterdir()}
    folder.create()
    assert {path.name: path.stat().st_ino for path in folder.path.iterdir()} == before


@contextmanager
def killed_after(steps: int) -> Iterator[list[str]]:
    """Kill what writes files after so many; yield the names of those that it began."""
    names: list[str] = []

    @contextmanager
    def replace_and_die(path: Path) -> Iterator[IO[bytes]]:
        names.append(path.name)
        if len(names) > steps:
            raise KeyboardInterrupt
        with replacing(path) as file:
            yield file

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nmt.io.files.replacing", replace_and_die)
        patch.setattr("nmt.models.folder.replacing", replace_and_die)
        yield names


@pytest.mark.parametrize("steps", [1, 2])
def test_a_kill_while_settings_are_replaced_leaves_a_model_that_loads(folder: ModelFolder, steps: int) -> None:
    search = folder.settings.search.model_copy(update={"beam_size": 3})
    changed = replace(folder, settings=folder.settings.model_copy(update={"search": search}))
    with killed_after(steps) as names:
        changed.create()
    assert names == ["model.json", "config.toml", "model.json"][: steps + 1]
    load_model(folder.path, device=CPU)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere does not exist"):
        load_model(tmp_path / "nowhere", device=CPU)


def test_a_folder_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder, or its training has not validated yet"):
        load_model(tmp_path, device=CPU)


@pytest.mark.parametrize("name", ["model.safetensors", "config.toml", "joint.spm.model"])
def test_an_altered_file_is_refused(folder: ModelFolder, name: str) -> None:
    path = folder.path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=f"{name} has been altered"):
        load_model(folder.path, device=CPU)


def test_chosen_files_can_be_checked_by_themselves(folder: ModelFolder) -> None:
    (folder.path / "config.toml").write_text("")
    check_hashes(folder.path, ["joint.spm.model", "model.safetensors"])
    with pytest.raises(ModelError, match=r"config\.toml has been altered"):
        check_hashes(folder.path, ["config.toml"])
    with pytest.raises(ModelError, match=r"model\.json has been altered: its SHA-256 is not the one in model\.json"):
        check_hashes(folder.path, ["model.json"])  # not one of the recorded files


def test_a_missing_file_is_refused(folder: ModelFolder) -> None:
    (folder.path / "config.toml").unlink()
    with pytest.raises(ModelError, match=r"config\.toml does not exist; the model folder is incomplete"):
        load_model(folder.path, device=CPU)


def test_another_format_version_is_refused(folder: ModelFolder) -> None:
    card = folder.path / "model.json"
    card.write_text(card.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ModelError, match="format version 2, this program reads 1"):
        load_model(folder.path, device=CPU)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_card_is_refused(folder: ModelFolder, text: str) -> None:
    (folder.path / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json is damaged"):
        load_model(folder.path, device=CPU)


def test_damaged_and_missing_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ModelError, match="does not exist"):
        read_tensors(path)
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(ModelError, match="is damaged"):
        read_tensors(path)


def test_weights_of_another_shape_or_name_are_refused(folder: ModelFolder, tmp_path: Path) -> None:
    tensors = load_file(folder.path / "model.safetensors")
    other = {**tensors, "output.bias": torch.zeros(3)}
    with pytest.raises(ModelError, match=r"weight output.bias has shape \[3\], expected \[9\]"):
        load_tensors(small_model(), other, where=tmp_path)
    other = {name: tensor for name, tensor in tensors.items() if name != "output.bias"}
    with pytest.raises(ModelError, match=r"weight output.bias is missing from"):
        load_tensors(small_model(), other, where=tmp_path)
    with pytest.raises(ModelError, match=r"weight extra is not part of the model but in"):
        load_tensors(small_model(), {**tensors, "extra": torch.zeros(1)}, where=tmp_path)


def test_nothing_in_the_folder_is_a_pickle(folder: ModelFolder) -> None:
    for path in folder.path.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path


def test_a_lexicon_joins_the_folder_and_outlives_the_weights(folder: ModelFolder) -> None:
    folder.save(small_model(1), {"step": 1})
    path = folder.path / "lexicon.safetensors"
    assert not path.exists()
    put_lexicon(folder.path, b"words")
    assert path.read_bytes() == b"words"
    folder.save(small_model(2), {"step": 2})
    check_hashes(folder.path, [path.name])
    load_model(folder.path, device=CPU)
    card = json.loads((folder.path / "model.json").read_text())
    assert card["training"] == {"step": 2}
    assert len(card["sha256"]["lexicon.safetensors"]) == 1


def test_an_altered_lexicon_is_refused_also_while_it_is_replaced(folder: ModelFolder) -> None:
    put_lexicon(folder.path, b"words")
    (folder.path / "lexicon.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"lexicon\.safetensors has been altered"):
        load_model(folder.path, device=CPU)
    with killed_after(1):
        put_lexicon(folder.path, b"new words")
    with pytest.raises(ModelError, match=r"lexicon\.safetensors has been altered"):
        load_model(folder.path, device=CPU)


def test_a_lexicon_that_nobody_announced_is_refused_but_leaves_a_model(folder: ModelFolder) -> None:
    (folder.path / "lexicon.safetensors").write_bytes(b"words")
    load_model(folder.path, device=CPU)
    with pytest.raises(ModelError, match=r"lexicon\.safetensors has been altered"):
        check_hashes(folder.path, ["lexicon.safetensors"])


def test_a_lexicon_that_was_removed_leaves_a_model_without_one(folder: ModelFolder) -> None:
    put_lexicon(folder.path, b"words")
    (folder.path / "lexicon.safetensors").unlink()
    load_model(folder.path, device=CPU)


@pytest.mark.parametrize("old", [None, b"words"])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_kill_while_a_lexicon_is_written_leaves_a_model_that_loads(
    folder: ModelFolder, old: bytes | None, steps: int
) -> None:
    if old is not None:
        put_lexicon(folder.path, old)
    with killed_after(steps) as names:
        put_lexicon(folder.path, b"new words")
    assert names == ["model.json", "lexicon.safetensors", "model.json"][: steps + 1]
    load_model(folder.path, device=CPU)
    path = folder.path / "lexicon.safetensors"
    assert (path.read_bytes() if path.exists() else None) == (b"new words" if steps == 2 else old)


def test_a_damaged_card_is_replaced_by_the_next_weights_of_a_resumed_training(folder: ModelFolder) -> None:
    put_lexicon(folder.path, b"words")
    (folder.path / "model.json").write_text("{")
    folder.create()
    folder.save(small_model(), {})
    load_model(folder.path, device=CPU)
    assert "lexicon.safetensors" not in json.loads((folder.path / "model.json").read_text())["sha256"]


def test_the_sizes_of_the_tables_can_be_read_by_themselves(folder: ModelFolder) -> None:
    assert read_vocabularies(folder.path) == Vocabularies(9, 9, True)


def test_a_language_model_loads_as_one_and_as_nothing_else(tmp_path: Path) -> None:
    settings = load_settings(overrides=["model.kind=lm", "model.embedding_size=4", "model.hidden_size=6"])
    model = build_language_model(settings.model, vocab_size=9, seed=1)
    written = ModelFolder(tmp_path / "lm", settings=settings, vocabularies=Vocabularies(9, 9, True), tokenizers={})
    written.create()
    written.save(model, {})
    loaded, found = load_language_model(tmp_path / "lm", device=CPU)
    assert found == settings
    for (name, ours), (_, theirs) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    with pytest.raises(ModelError, match=r"lm holds a language model, expected a translation model$"):
        load_model(tmp_path / "lm", device=CPU)


def test_a_translation_model_is_no_language_model(folder: ModelFolder) -> None:
    with pytest.raises(ModelError, match=r"model holds a translation model, expected a language model$"):
        load_language_model(folder.path, device=CPU)


@pytest.mark.parametrize("name", ["/dev/zero", "../../etc/passwd", "notes.txt", "../joint.spm.model"])
def test_no_other_file_is_opened_because_a_card_names_it(folder: ModelFolder, name: str) -> None:
    path = folder.path / "model.json"
    card = json.loads(path.read_text())
    card["sha256"][name] = ["0"]
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match=rf"model\.json announces '{re.escape(name)}', which is no file of a model$"):
        load_model(folder.path, device=CPU)


def test_a_pipe_in_the_place_of_a_file_is_refused(folder: ModelFolder) -> None:
    (folder.path / "model.safetensors").unlink()
    os.mkfifo(folder.path / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors is no regular file$"):
        load_model(folder.path, device=CPU)


@pytest.mark.parametrize("key", ["sha256", "vocabularies"])
@pytest.mark.parametrize("value", [None, 7, "text", [], {"src": 1}])
def test_a_card_with_other_types_is_refused(folder: ModelFolder, key: str, value: object) -> None:
    path = folder.path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError):
        load_model(folder.path, device=CPU)


def test_what_is_wrong_in_a_card_is_named_with_its_value(folder: ModelFolder) -> None:
    path = folder.path / "model.json"
    card = json.loads(path.read_text())
    for value, told in ((0, "= 0: input should be greater than 0"), (True, "= True: input should be a valid integer")):
        path.write_text(json.dumps({**card, "vocabularies": {**card["vocabularies"], "src": value}}))
        with pytest.raises(ModelError, match=rf"model\.json is damaged: vocabularies\.src {told}$"):
            load_model(folder.path, device=CPU)


def test_what_a_newer_version_adds_to_a_card_outlives_a_new_lexicon(folder: ModelFolder) -> None:
    folder.save(small_model(), {"step": 3})
    path = folder.path / "model.json"
    before = {**json.loads(path.read_text()), "novelty": {"a": [1, 2.5]}}
    path.write_text(json.dumps(before))
    put_lexicon(folder.path, b"lexicon")
    after = json.loads(path.read_text())
    assert after["sha256"].pop("lexicon.safetensors")
    assert list(after.items()) == list(before.items())


def test_a_card_of_endless_depth_is_damaged(folder: ModelFolder) -> None:
    (folder.path / "model.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"model\.json is damaged: it is not JSON"):
        load_model(folder.path, device=CPU)


def test_sizes_that_the_weights_cannot_hold_are_refused_before_memory_is_taken(folder: ModelFolder) -> None:
    path = folder.path / "model.json"
    card = json.loads(path.read_text())
    card["vocabularies"]["tgt"] = 20_000_000_000
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"a model of 20,000,000,000 pieces and \d layers, as its vocabularies"):
        load_model(folder.path, device=CPU)


@pytest.mark.parametrize("name", ["encoder_size", "decoder_size"])
def test_a_size_of_one_side_that_the_weights_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    huge = load_settings(overrides=["model.embedding_size=4", "model.encoder_layers=1", f"model.{name}=4000000"])
    folder = ModelFolder(tmp_path, settings=huge, vocabularies=Vocabularies(9, 9, True), tokenizers={})
    folder.create()
    folder.save(small_model(), {})
    with pytest.raises(ModelError, match=r"bytes, but a model of 9 pieces and 2 layers, as its vocabularies and"):
        load_model(tmp_path, device=CPU)


@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("kind", ["translation", "lm"])
def test_weights_of_any_cell_hold_what_their_sizes_say(tmp_path: Path, cell: str, kind: str) -> None:
    sizes = ["model.embedding_size=1", "model.hidden_size=64", "model.decoder_init=zeros", "model.attention=dot"]
    settings = load_settings(overrides=[*sizes, f"model.cell={cell}", f"model.kind={kind}", "model.encoder_layers=1"])
    folder = ModelFolder(tmp_path, settings=settings, vocabularies=Vocabularies(9, 9, True), tokenizers={})
    folder.create()
    if kind == "lm":
        folder.save(build_language_model(settings.model, vocab_size=9, seed=1), {})
    else:
        folder.save(build_model(settings.model, src_vocab_size=9, tgt_vocab_size=9, joint=True, seed=1), {})
    assert load_either(tmp_path, device=CPU)[1] == settings


def test_a_reader_beside_a_training_that_replaces_the_model_reads_again(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(small_model(1), {})
    hashed = []

    def replaced_while_hashed(path: Path) -> str:
        if path.name == "model.safetensors" and not hashed:
            hashed.append(path)
            folder.save(small_model(2), {})
        return sha256(path)

    monkeypatch.setattr("nmt.models.folder.sha256", replaced_while_hashed)
    model, _ = load_model(folder.path, device=CPU)
    assert hashed
    assert torch.equal(model.output.weight, small_model(2).output.weight)


def test_prepared_data_are_told_from_a_model(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    with pytest.raises(ModelError, match=r"holds prepared data, not a model; nmt train .* MODEL_DIR makes one$"):
        load_model(tmp_path, device=CPU)


@pytest.mark.parametrize("name", ["joint.spm.model", "model.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_replaced_by_the_next(folder: ModelFolder, name: str) -> None:
    (folder.path / name).unlink()
    os.mkfifo(folder.path / name)
    folder.create()
    folder.save(small_model(), {})
    load_model(folder.path, device=CPU)


def test_tokenizers_of_another_size_than_the_tables_are_refused(toy_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(toy_model, tmp_path / "m"))
    assert len(load_own_tokenizers(folder).tgt) == 40
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"tgt": 40', '"tgt": 41'))
    with pytest.raises(ModelError, match=r"40 source and 40 target pieces, but model\.json says .* has 40 and 41"):
        load_own_tokenizers(folder)
