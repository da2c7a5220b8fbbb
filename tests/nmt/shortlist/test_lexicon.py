import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from nmt.config import load_settings
from nmt.errors import ConfigError, ModelError
from nmt.models.build import build_model
from nmt.models.folder import ModelFolder, Vocabularies, put_lexicon
from nmt.shortlist.lexicon import Lexicon, load_lexicon, save_lexicon

SRC_SIZE, TGT_SIZE = 12, 48


def ints(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32)


def falling(*, tgt_size: int = TGT_SIZE) -> Tensor:
    """The last id is the most frequent."""
    return torch.arange(tgt_size - 1, 3, -1, dtype=torch.int32)


def lexicon_of(words: dict[int, list[int]], *, width: int = 3) -> Lexicon:
    table = torch.full((SRC_SIZE, width), -1, dtype=torch.int32)
    for word, translations in words.items():
        table[word, : len(translations)] = torch.tensor(translations, dtype=torch.int32)
    return Lexicon(table, falling())


def random_lexicon(seed: int) -> Lexicon:
    rng = torch.Generator().manual_seed(seed)
    table = torch.stack([4 + torch.randperm(TGT_SIZE - 4, generator=rng)[:6] for _ in range(SRC_SIZE)])
    counts = torch.randint(7, (SRC_SIZE, 1), generator=rng)
    counts[:4] = 0
    table = table.masked_fill(torch.arange(6) >= counts, -1)
    return Lexicon(table.int(), (4 + torch.randperm(TGT_SIZE - 4, generator=rng)).int())


def slow_shortlist(lexicon: Lexicon, words: list[int], *, size: int, per_piece: int) -> list[int]:
    chosen = [0, 1, 2, 3]

    def choose(word: int) -> None:
        if word != -1 and word not in chosen and len(chosen) < size:
            chosen.append(word)

    for rank in range(min(per_piece, lexicon.translations.shape[1])):
        for word in words:
            choose(int(lexicon.translations[word, rank]))
    for word in lexicon.frequent.tolist():
        choose(word)
    return sorted(chosen)


def padded(rows: list[list[int]], *, width: int) -> Tensor:
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


sentences = st.lists(st.integers(3, SRC_SIZE - 1), min_size=1, max_size=9)


def test_specials_come_first_then_translations_then_frequent_pieces() -> None:
    lexicon = lexicon_of({4: [9, 8], 5: [7]})
    (chosen,) = lexicon.shortlist(torch.tensor([[5, 4, 3]]), size=16, per_piece=3).tolist()
    assert chosen == [0, 1, 2, 3, 7, 8, 9, *range(39, 48)]


def test_no_word_is_starved_by_the_translations_of_another() -> None:
    many = list(range(10, 30))
    lexicon = lexicon_of({4: many, 5: [5, 6]}, width=20)
    (chosen,) = lexicon.shortlist(torch.tensor([[4, 5]]), size=16, per_piece=20).tolist()
    assert chosen == [0, 1, 2, 3, 5, 6, *range(10, 20)]


def test_a_word_gives_no_more_translations_than_asked_for() -> None:
    lexicon = lexicon_of({4: [9, 8, 7]})
    (chosen,) = lexicon.shortlist(torch.tensor([[4]]), size=16, per_piece=2).tolist()
    assert chosen == [0, 1, 2, 3, 8, 9, *range(38, 48)]


def test_the_whole_vocabulary_is_a_shortlist_too() -> None:
    lexicon = Lexicon(torch.full((5, 1), -1, dtype=torch.int32), falling(tgt_size=32))
    assert lexicon.shortlist(torch.tensor([[4]]), size=32).tolist() == [list(range(32))]


@given(rows=st.lists(sentences, min_size=1, max_size=5), seed=st.integers(0, 9), size=st.sampled_from([16, 32, 48]),
       per_piece=st.integers(1, 8))  # fmt: skip
def test_shortlists_are_those_of_the_slow_and_obvious_way(
    rows: list[list[int]], seed: int, size: int, per_piece: int
) -> None:
    lexicon = random_lexicon(seed)
    found = lexicon.shortlist(padded(rows, width=10), size=size, per_piece=per_piece)
    assert found.dtype == torch.int64
    assert found.tolist() == [slow_shortlist(lexicon, row, size=size, per_piece=per_piece) for row in rows]


def test_a_sentence_gets_the_same_shortlist_in_any_company() -> None:
    lexicon, rng = random_lexicon(0), torch.Generator().manual_seed(0)
    rows = [torch.randint(3, SRC_SIZE, (1 + row % 9,), generator=rng).tolist() for row in range(150)]
    together = lexicon.shortlist(padded(rows, width=9), size=16, per_piece=4)
    for row, found in zip(rows, together, strict=True):
        assert torch.equal(lexicon.shortlist(torch.tensor([row]), size=16, per_piece=4)[0], found)
    assert len(torch.unique(together, dim=0)) > 20


def test_no_sentences_have_no_shortlists() -> None:
    assert lexicon_of({}).shortlist(torch.zeros(0, 0, dtype=torch.int64), size=16).shape == (0, 16)


@pytest.mark.parametrize("size", [-16, 0, 8, 100, 64])
def test_a_size_that_is_no_multiple_of_16_or_more_than_the_vocabulary_is_refused(size: int) -> None:
    message = f"^a shortlist of {size} pieces was requested, expected a multiple of 16 up to 48$"
    with pytest.raises(ConfigError, match=message):
        lexicon_of({}).shortlist(torch.tensor([[4]]), size=size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = load_settings(overrides=["model.embedding_size=4", "model.hidden_size=6", "model.encoder_layers=1"])
    model_folder = ModelFolder(
        tmp_path / "model", settings=settings, vocabularies=Vocabularies(SRC_SIZE, TGT_SIZE, False), tokenizers={}
    )
    model_folder.create()
    model_folder.save(
        build_model(settings.model, src_vocab_size=SRC_SIZE, tgt_vocab_size=TGT_SIZE, joint=False, seed=1), {}
    )
    return model_folder.path


def test_a_saved_lexicon_loads(folder: Path) -> None:
    lexicon = random_lexicon(1)
    save_lexicon(lexicon, folder)
    loaded = load_lexicon(folder)
    assert torch.equal(loaded.translations, lexicon.translations)
    assert torch.equal(loaded.frequent, lexicon.frequent)
    assert list(json.loads((folder / "model.json").read_text())["sha256"]) == [
        "model.safetensors",
        "config.toml",
        "lexicon.safetensors",
    ]


def test_an_altered_lexicon_is_refused(folder: Path) -> None:
    save_lexicon(random_lexicon(1), folder)
    path = folder / "lexicon.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(ModelError, match=r"lexicon\.safetensors has been altered: its SHA-256 is not the one in"):
        load_lexicon(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder"):
        save_lexicon(random_lexicon(1), tmp_path)
    with pytest.raises(ModelError, match="is not a model folder"):
        load_lexicon(tmp_path)
    assert list(tmp_path.iterdir()) == []


SOUND = {"translations": torch.full((SRC_SIZE, 2), -1, dtype=torch.int32), "frequent": falling()}


@pytest.mark.parametrize(
    "changed",
    [
        {"translations": torch.full((SRC_SIZE + 1, 2), -1, dtype=torch.int32)},
        {"translations": torch.full((SRC_SIZE, 2), -1)},
        {"translations": torch.full((SRC_SIZE,), -1, dtype=torch.int32)},
        {"translations": torch.full((SRC_SIZE, 0), -1, dtype=torch.int32)},
        {"translations": ints(*[[-1]] * 4, *[[TGT_SIZE]] * 8)},
        {"translations": ints(*[[5]] * SRC_SIZE)},
        {"frequent": falling()[:-1]},
        {"frequent": falling(tgt_size=TGT_SIZE + 1)},
        {"frequent": torch.full((TGT_SIZE - 4,), 5, dtype=torch.int32)},
        {"more": torch.zeros(1, dtype=torch.int32)},
    ],
    ids=[
        "rows",
        "type",
        "flat",
        "empty",
        "outside",
        "of specials",
        "too few",
        "too many",
        "repeated",
        "another tensor",
    ],
)
def test_a_file_that_is_no_lexicon_of_the_model_is_refused(folder: Path, changed: dict[str, Tensor]) -> None:
    put_lexicon(folder, save(SOUND))
    load_lexicon(folder)
    put_lexicon(folder, save({**SOUND, **changed}))
    message = (
        r"lexicon\.safetensors is no lexicon of 12 source and 48 target pieces; "
        r"make a new one with `nmt shortlist`, or remove lexicon\.safetensors$"
    )
    with pytest.raises(ModelError, match=message):
        load_lexicon(folder)
