from pathlib import Path

import pytest

from nmt.config import TokenizerSettings
from nmt.corpus.reading import Pair
from nmt.errors import ConfigError
from nmt.prepared.tokenizing import train_tokenizers
from nmt.subword import Tokenizers

PAIRS = [Pair(f"the {word} sees {number}", f"le {word} voit {number}", "f", 1)
         for number, word in enumerate(["cat", "dog", "old man", "child", "teacher", "baker"] * 3)]  # fmt: skip


def train(folder: Path, **settings: object) -> tuple[Tokenizers, list[str]]:
    return train_tokenizers(folder, TokenizerSettings.model_validate(settings), lambda: iter(PAIRS))


def test_a_joint_tokenizer_serves_both_languages(tmp_path: Path) -> None:
    tokenizers, warnings = train(tmp_path, vocab_size=40, kind="bpe")
    assert (tokenizers.joint, len(tokenizers.src), warnings) == (True, 40, [])
    assert [path.name for path in tmp_path.iterdir()] == ["joint.spm.model"]
    assert {"s", "v"} <= set("".join(tokenizers.src.pieces))


def test_separate_tokenizers_know_only_their_own_language(tmp_path: Path) -> None:
    tokenizers, _ = train(tmp_path, vocab_size=40, joint=False, kind="bpe")
    assert not tokenizers.joint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src.spm.model", "tgt.spm.model"]
    assert "v" in "".join(tokenizers.tgt.pieces)
    assert "v" not in "".join(tokenizers.src.pieces)


def test_placeholders_are_pieces_and_numbers_are_not(tmp_path: Path) -> None:
    tokenizers, _ = train(tmp_path, vocab_size=40, kind="bpe", placeholders=["url", "number", "number"])
    assert tokenizers.src.pieces[4:6] == ["[NUM]", "[URL]"]
    assert "1" not in "".join(tokenizers.src.pieces)


def test_a_default_too_large_for_the_corpus_is_reduced_with_a_warning(tmp_path: Path) -> None:
    tokenizers, warnings = train(tmp_path)
    assert warnings == [
        f"the corpus gives at most {len(tokenizers.src)} pieces, not the default 8000: using these",
    ]
    with pytest.raises(ConfigError, match=f"at most {len(tokenizers.src)} pieces"):
        train(tmp_path, vocab_size=len(tokenizers.src) + 1)


def test_each_of_two_vocabularies_is_reduced_on_its_own(tmp_path: Path) -> None:
    tokenizers, warnings = train(tmp_path, joint=False)
    sizes = (len(tokenizers.src), len(tokenizers.tgt))
    assert [warning.split(" pieces")[0] for warning in warnings] == [
        f"source text: the corpus gives at most {sizes[0]}",
        f"target text: the corpus gives at most {sizes[1]}",
    ]


def test_a_chosen_size_too_large_is_an_error_that_names_the_largest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^source text: tokenizer\.vocab_size = 8000 is too large .*: at most \d+ "):
        train(tmp_path, vocab_size=8000, joint=False)


def test_a_size_too_small_is_an_error_that_names_the_smallest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^source text: tokenizer\.vocab_size = 26 is too small .* need \d+ pieces"):
        train(tmp_path, vocab_size=26, joint=False)
