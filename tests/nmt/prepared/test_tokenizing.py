from functools import partial
from pathlib import Path

import pytest

from nmt.config import Settings, TokenizerSettings, load_settings
from nmt.errors import ConfigError, ModelError
from nmt.prepared.tokenizing import require_joint, resolve_tokenizer, take_tokenizer, train_tokenizers
from nmt.subword import JOINT_MODEL, SRC_MODEL, TGT_MODEL, Kind, Tokenizers

NAMES = ["cat", "dog", "old man", "child", "teacher", "baker"] * 3
SRC = [f"the {name} sees" for name in NAMES]
TGT = [f"le {name} voit" for name in NAMES]


def train(folder: Path, **settings: object) -> tuple[Tokenizers, list[str]]:
    tokenizer = TokenizerSettings.model_validate(settings)
    both: dict[str, list[str]] = {JOINT_MODEL: [*SRC, *TGT]} if tokenizer.joint else {SRC_MODEL: SRC, TGT_MODEL: TGT}
    return train_tokenizers(folder, tokenizer, {name: partial(iter, lines) for name, lines in both.items()})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a joint tokenizer of kind bpe, 30 pieces, one of them [NUM]."""
    (tmp_path / "model").mkdir()
    train(tmp_path / "model", vocab_size=30, kind="bpe", placeholders=["number"])
    return tmp_path / "model"


def taking(path: Path, *overrides: str) -> Settings:
    return load_settings(None, [f"data.root={path.parent}", f"tokenizer.file={path.name}", *overrides])


def take(path: Path, *overrides: str) -> tuple[Tokenizers, list[str]]:
    (path.parent / "data").mkdir()
    return take_tokenizer(path.parent / "data", taking(path, *overrides).tokenizer, path / JOINT_MODEL)


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


def test_placeholders_are_pieces(tmp_path: Path) -> None:
    tokenizers, _ = train(tmp_path, vocab_size=40, kind="bpe", placeholders=["url", "number", "number"])
    assert tokenizers.src.pieces[4:6] == ["[NUM]", "[URL]"]


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
    with pytest.raises(ConfigError, match=r"^source text: tokenizer\.vocab_size = 16 is too small .* need \d+ pieces"):
        train(tmp_path, vocab_size=16, joint=False)


@pytest.mark.parametrize(("kind", "most"), [("word", 4 + 11), ("char", 4 + 1 + 17)])
def test_fewer_words_or_characters_than_asked_for_are_a_warning_and_than_the_default_nothing(
    tmp_path: Path, kind: Kind, most: int
) -> None:
    tokenizers, warnings = train(tmp_path, kind=kind)
    assert (len(tokenizers.src), warnings) == (most, [])
    tokenizers, warnings = train(tmp_path, kind=kind, vocab_size=30)
    assert (len(tokenizers.src), warnings) == (most, [f"the corpus gives {most} pieces, not tokenizer.vocab_size = 30"])


def test_without_a_file_the_settings_stay_as_they_are() -> None:
    settings = load_settings(None, ["tokenizer.kind=bpe"])
    assert resolve_tokenizer(settings) == (settings, None)


@pytest.mark.parametrize("name", ["model", "model/joint.spm.model"])
def test_a_tokenizer_is_found_in_its_folder_or_by_itself_and_gives_its_kind(model: Path, name: str) -> None:
    settings, path = resolve_tokenizer(load_settings(None, [f"data.root={model.parent}", f"tokenizer.file={name}"]))
    assert (path, settings.tokenizer.kind) == (model / JOINT_MODEL, "bpe")
    assert resolve_tokenizer(settings) == (settings, path)


def test_of_two_tokenizers_that_of_the_target_is_taken(tmp_path: Path) -> None:
    train(tmp_path, kind="word", joint=False)
    assert resolve_tokenizer(taking(tmp_path))[1] == tmp_path / TGT_MODEL


def test_another_kind_than_that_of_the_file_is_refused(model: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'^tokenizer\.kind = "char", but .*joint\.spm\.model \(tokenizer\.file\) is of the kind bpe'
    ):
        resolve_tokenizer(taking(model, "tokenizer.kind=char"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "holds no tokenizer: expected joint"), ("none", "^cannot read tokenizer .*none: No such")],
)
def test_a_file_that_is_no_tokenizer_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve_tokenizer(taking(tmp_path / name))


def test_pairs_need_a_tokenizer_for_both_sides(model: Path, tmp_path: Path) -> None:
    require_joint(taking(model))
    with pytest.raises(ConfigError, match=r"^tokenizer\.file is one .* of pairs: it needs tokenizer\.joint = true$"):
        require_joint(taking(model, "tokenizer.joint=false"))
    train(tmp_path, kind="word", joint=False)
    with pytest.raises(ConfigError, match=r"\(tokenizer\.file\) has a tokenizer for each language, expected one for"):
        require_joint(taking(tmp_path))


def test_a_tokenizer_that_is_taken_is_copied_as_it_is(model: Path) -> None:
    tokenizers, warnings = take(model, "tokenizer.placeholders=['number']")
    assert (tokenizers.joint, len(tokenizers.src), warnings) == (True, 30, [])
    assert (model.parent / "data" / JOINT_MODEL).read_bytes() == (model / JOINT_MODEL).read_bytes()


def test_what_a_taken_tokenizer_makes_of_the_settings_is_a_warning(model: Path) -> None:
    path = model / JOINT_MODEL
    _, warnings = take(model, "tokenizer.vocab_size=40")
    assert warnings == [
        f'{path} has a piece [NUM], but tokenizer.placeholders has no "number": nothing becomes it',
        f"tokenizer.vocab_size = 40 is not used: {path} has 30 pieces",
    ]


def test_a_taken_tokenizer_has_to_have_the_placeholders(model: Path) -> None:
    with pytest.raises(ConfigError, match=r'placeholders has "url", but .* \(tokenizer\.file\) has no piece \[URL\]; '):
        take(model, "tokenizer.placeholders=['number', 'url']")


def test_a_placeholder_is_a_word_like_others_to_a_tokenizer_of_words(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    train(tmp_path / "words", kind="word")
    tokenizers, warnings = take(tmp_path / "words", "tokenizer.placeholders=['url']", "tokenizer.kind=word")
    assert (tokenizers.src.kind, warnings) == ("word", [])
