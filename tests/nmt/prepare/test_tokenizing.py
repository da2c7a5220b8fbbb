import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from nmt.config import CorpusSettings, Settings, TokenizerSettings, TrainingCorpusSettings, load_settings
from nmt.errors import ConfigError, ModelError
from nmt.prepare import tokenizing
from nmt.prepare.tokenizing import (
    describe_choice,
    describe_unknown,
    require_joint,
    resolve_tokenizer,
    tags_of,
    take_tokenizers,
    train_tokenizers,
)
from nmt.prepared.statistics import Statistics
from nmt.text.tokenizer import JOINT_MODEL, SRC_MODEL, TGT_MODEL, Kind, Tokenizer, Tokenizers, load_tokenizers
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer

NAMES = ["cat", "dog", "old man", "child", "teacher", "baker"] * 3
SRC = [f"the {name} sees" for name in NAMES]
TGT = [f"le {name} voit" for name in NAMES]


def train(folder: Path, **settings: object) -> tuple[Tokenizers, list[str]]:
    tokenizer = TokenizerSettings.model_validate(settings)
    both: dict[str, list[str]] = {JOINT_MODEL: [*SRC, *TGT]} if tokenizer.joint else {SRC_MODEL: SRC, TGT_MODEL: TGT}
    warnings = train_tokenizers(
        folder, tokenizer, {name: partial(iter, lines) for name, lines in both.items()}, pairs=18
    )
    return load_tokenizers(folder), warnings


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a joint tokenizer of kind bpe, 30 pieces, one of them [NUM]."""
    (tmp_path / "model").mkdir()
    train(tmp_path / "model", vocab_size=30, kind="bpe", placeholders=["number"])
    return tmp_path / "model"


def taking(path: Path, *overrides: str) -> Settings:
    return load_settings(None, [f"data.root={path.parent}", f"tokenizer.file={path.name}", *overrides])


def take(path: Path, *overrides: str) -> tuple[Tokenizers, list[str]]:
    folder = path.parent / "data"
    folder.mkdir()
    settings, paths = resolve_tokenizer(taking(path, *overrides))
    warnings = take_tokenizers(folder, settings.tokenizer, list(paths.values()))
    return load_tokenizers(folder), warnings


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model with SentencePiece's own special ids and a symbol <b>."""
    with (tmp_path / "own.model").open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter([*SRC, *TGT]),
            model_writer=file,
            model_type="bpe",
            vocab_size=40,
            user_defined_symbols=["<b>"],
            minloglevel=2,
        )
    return tmp_path / "own.model"


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


def test_where_memory_is_limited_a_tokenizer_is_trained_apart_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "memory_limit", lambda: 1 << 40)
    (apart := tmp_path / "apart").mkdir()
    (here := tmp_path / "here").mkdir()
    train(apart, vocab_size=25)
    monkeypatch.undo()
    train(here, vocab_size=25)
    assert {path.name: path.read_bytes() for path in apart.iterdir()} == {
        path.name: path.read_bytes() for path in here.iterdir()
    }


def test_a_default_too_large_for_the_corpus_is_reduced_with_a_warning(tmp_path: Path) -> None:
    tokenizers, warnings = train(tmp_path)
    assert warnings == [f"the corpus gives at most {len(tokenizers.src)} pieces, not the default 8000: using these"]
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


def test_the_target_may_have_a_vocabulary_of_another_size(tmp_path: Path) -> None:
    tokenizers, warnings = train(tmp_path, vocab_size=40, tgt_vocab_size=30, joint=False, kind="bpe")
    assert (len(tokenizers.src), len(tokenizers.tgt), warnings) == (40, 30, [])


def test_a_size_of_the_target_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^target text: tokenizer\.tgt_vocab_size = 8000 is too large .*: at most "):
        train(tmp_path, tgt_vocab_size=8000, joint=False)
    with pytest.raises(ConfigError, match=r"^target text: tokenizer\.tgt_vocab_size = 16 is too small .* need \d+ "):
        train(tmp_path, tgt_vocab_size=16, joint=False)
    _, warnings = train(tmp_path, kind="word", tgt_vocab_size=30, joint=False)
    assert [line.partition(" the corpus gives ")[0] for line in warnings] == ["target text:"]
    assert warnings[0].endswith("not tokenizer.tgt_vocab_size = 30")


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
    assert resolve_tokenizer(settings) == (settings, {})


@pytest.mark.parametrize("name", ["model", "model/joint.spm.model"])
def test_a_tokenizer_is_found_in_its_folder_or_by_itself_and_gives_its_kind(model: Path, name: str) -> None:
    settings, paths = resolve_tokenizer(load_settings(None, [f"data.root={model.parent}", f"tokenizer.file={name}"]))
    assert (paths, settings.tokenizer.kind) == ({"tokenizer.file": model / JOINT_MODEL}, "bpe")
    assert resolve_tokenizer(settings) == (settings, paths)


def test_of_two_tokenizers_that_of_the_target_is_taken(tmp_path: Path) -> None:
    train(tmp_path, kind="word", joint=False)
    assert resolve_tokenizer(taking(tmp_path))[1] == {"tokenizer.file": tmp_path / TGT_MODEL}


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
    require_joint(load_settings())
    with pytest.raises(
        ConfigError, match=r"^tokenizer\.file is one .* it needs tokenizer\.joint = true; name two with"
    ):
        require_joint(taking(model, "tokenizer.joint=false"))
    train(tmp_path, kind="word", joint=False)
    with pytest.raises(
        ConfigError, match=r"has a tokenizer for each language, .* both; name two with tokenizer\.src_file"
    ):
        require_joint(taking(tmp_path))


def test_a_tokenizer_of_ours_is_copied_as_it_is(model: Path) -> None:
    tokenizers, warnings = take(model, "tokenizer.placeholders=['number']")
    assert (tokenizers.joint, len(tokenizers.src), warnings) == (True, 30, [])
    assert (model.parent / "data" / JOINT_MODEL).read_bytes() == (model / JOINT_MODEL).read_bytes()


def test_a_model_from_elsewhere_gets_our_special_ids_and_cuts_as_before(own: Path) -> None:
    tokenizers, warnings = take(own, "tokenizer.symbols=['<b>']")
    assert warnings == []
    assert tokenizers.src.pieces[:5] == ["<pad>", "<unk>", "<s>", "</s>", "<b>"]
    assert load_tokenizers(own.parent / "data").src.split(SRC[0]) == tokenizers.src.split(SRC[0])
    before = SentencePieceProcessor(model_file=str(own))
    assert tokenizers.src.split("the <b>cat") == before.encode("the <b>cat", out_type=str)


def two(own: Path, model: Path, *overrides: str) -> Settings:
    files = [f"data.root={own.parent}", "tokenizer.joint=false", f"tokenizer.src_file={own.name}"]
    return load_settings(None, [*files, f"tokenizer.tgt_file={model.name}", *overrides])


def test_each_side_can_have_a_tokenizer_of_its_own_and_another_kind(own: Path, model: Path, tmp_path: Path) -> None:
    train(model, kind="char")
    settings, paths = resolve_tokenizer(two(own, model))
    assert (list(paths.values()), settings.tokenizer.kind) == ([own, model / JOINT_MODEL], "char")
    require_joint(settings)
    (tmp_path / "data").mkdir()
    warnings = take_tokenizers(tmp_path / "data", settings.tokenizer, list(paths.values()))
    tokenizers = load_tokenizers(tmp_path / "data")
    assert (tokenizers.joint, tokenizers.src.kind, tokenizers.tgt.kind, warnings) == (False, "bpe", "char", [])
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [SRC_MODEL, TGT_MODEL]


def test_a_text_has_one_tokenizer(own: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match=r"tgt_file are for pairs: name that of a text with tokenizer\.file$"):
        resolve_tokenizer(two(own, model, "data.train_text=['a.txt']"))


def test_what_a_taken_tokenizer_makes_of_the_settings_is_a_warning(model: Path) -> None:
    path = model / JOINT_MODEL
    _, warnings = take(model, "tokenizer.vocab_size=40", "tokenizer.byte_fallback=true", "tokenizer.min_frequency=2")
    assert warnings == [
        f'{path} has a piece [NUM], but tokenizer.placeholders has no "number": nothing becomes it',
        f"tokenizer.vocab_size = 40 is not used: {path} has 30 pieces",
        f"tokenizer.byte_fallback = true is not used: {path} has no pieces of bytes",
        f"tokenizer.min_frequency = 2 is not used: {path} has been trained",
    ]


def test_a_taken_tokenizer_has_to_have_the_placeholders(model: Path) -> None:
    with pytest.raises(ConfigError, match=r'placeholders has "url", but .* \(tokenizer\.file\) has no piece \[URL\]; '):
        take(model, "tokenizer.placeholders=['number', 'url']")


def test_a_taken_tokenizer_has_to_have_the_symbols(own: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^tokenizer\.symbols has <i>, but .*own\.model \(tokenizer\.file\) has no such p"
    ):
        take(own, "tokenizer.symbols=['<b>', '<i>']")


def tagged(settings: Settings, *tags: str) -> Settings:
    corpora = tuple(TrainingCorpusSettings(path=("a.tsv",), tag=tag) for tag in tags)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"corpora": corpora})})


def test_the_tokenizer_of_the_source_has_to_have_the_tags(own: Path, model: Path) -> None:
    assert tags_of(tagged(taking(own), "<b>", "<i>", "<b>")) == ("<b>", "<i>")
    assert resolve_tokenizer(tagged(taking(own), "<b>"))[1] == {"tokenizer.file": own}
    with pytest.raises(
        ConfigError, match=r"^a corpus has the tag <i>, but .*own\.model \(tokenizer\.file\) has no such piece"
    ):
        resolve_tokenizer(tagged(taking(own), "<b>", "<i>"))
    assert resolve_tokenizer(tagged(two(own, model), "<b>"))[1]["tokenizer.src_file"] == own
    with pytest.raises(ConfigError, match=r"but .*joint\.spm\.model \(tokenizer\.src_file\) has no such piece"):
        resolve_tokenizer(tagged(two(model, own), "<b>"))


def test_the_tags_of_validation_sets_have_to_be_there_too(own: Path) -> None:
    settings = tagged(taking(own), "<b>")
    validation = tuple(CorpusSettings(path=("a.tsv",), tag=tag) for tag in ("<i>", None, "<b>"))
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"validation": validation})})
    assert tags_of(settings) == ("<b>", "<i>")
    with pytest.raises(
        ConfigError, match=r"^a corpus has the tag <i>, but .*own\.model \(tokenizer\.file\) has no such"
    ):
        resolve_tokenizer(settings)


def test_a_placeholder_is_a_word_like_others_to_a_tokenizer_of_words(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    train(tmp_path / "words", kind="word")
    tokenizers, warnings = take(tmp_path / "words", "tokenizer.placeholders=['url']", "tokenizer.kind=word")
    assert (tokenizers.src.kind, warnings) == ("word", [])


@pytest.mark.parametrize("kind", ["bpe", "char", "byte", "word"])
def test_symbols_and_tags_are_pieces_of_a_trained_tokenizer(tmp_path: Path, kind: Kind) -> None:
    settings = TokenizerSettings(kind=kind, symbols=("<b>",), placeholders=("number",), vocab_size=40)
    texts = {JOINT_MODEL: partial(iter, [*SRC, *TGT])}
    train_tokenizers(tmp_path, settings, texts, pairs=18, tags=["<news>", "<b>"])
    tokenizers = load_tokenizers(tmp_path)
    expected = {"word": ["\u2581<b>", "\u2581<news>"]}.get(kind, ["[NUM]", "<b>", "<news>"])
    assert tokenizers.src.pieces[4 : 4 + len(expected)] == expected


def test_tags_are_pieces_of_the_source_alone(tmp_path: Path) -> None:
    texts = {SRC_MODEL: partial(iter, SRC), TGT_MODEL: partial(iter, TGT)}
    settings = TokenizerSettings(kind="char", joint=False, symbols=("<b>",))
    train_tokenizers(tmp_path, settings, texts, pairs=18, tags=["<news>"])
    tokenizers = load_tokenizers(tmp_path)
    assert (tokenizers.src.symbols, tokenizers.tgt.symbols) == ({"<b>", "<news>"}, {"<b>"})


def test_bytes_are_256_whatever_the_size_asked_for(tmp_path: Path) -> None:
    assert len(train(tmp_path, kind="byte")[0].src) == 260
    _, warnings = train(tmp_path, kind="byte", vocab_size=300)
    assert warnings == ["the corpus gives 260 pieces, not tokenizer.vocab_size = 300"]


def test_the_least_frequency_and_the_bytes_of_the_settings_count(tmp_path: Path) -> None:
    tokenizers, _ = train(tmp_path, kind="word", min_frequency=4)
    assert tokenizers.src.symbols == {
        "the",
        "sees",
        "le",
        "voit",
        "cat",
        "dog",
        "old",
        "man",
        "child",
        "teacher",
        "baker",
    }
    tokenizers, _ = train(tmp_path, kind="word", min_frequency=7)
    assert tokenizers.src.symbols == {"the", "sees", "le", "voit"}
    tokenizers, _ = train(tmp_path, byte_fallback=True, vocab_size=280)
    assert tokenizers.src.has_bytes


def test_a_chosen_size_has_room_for_a_text_of_many_characters(tmp_path: Path) -> None:
    lines = [f"{chr(number)}{chr(number + 1)} {chr(number)}" for number in range(0x4E00, 0x4E00 + 400)]
    settings = TokenizerSettings(vocab_size="auto")
    reduced = train_tokenizers(tmp_path, settings, {JOINT_MODEL: partial(iter, lines)}, pairs=100)
    assert reduced[0] == "the text has 402 different characters: 902 pieces, not the chosen 500"
    assert len(load_tokenizers(tmp_path).src) > 402


def test_a_chosen_size_is_told_with_what_the_text_makes_of_it(tmp_path: Path) -> None:
    settings = TokenizerSettings(vocab_size="auto")
    lines = [f"{chr(number)}{chr(number + 1)} {chr(number)}" for number in range(0x4E00, 0x4E00 + 400)]
    train_tokenizers(tmp_path, settings, {JOINT_MODEL: partial(iter, lines)}, pairs=100)
    larger = load_tokenizers(tmp_path)
    [line] = describe_choice(settings, larger, pairs=100, noun="pairs")
    assert line.startswith("tokenizer.vocab_size = 500, chosen for 100 pairs: ")
    assert line.endswith(f"; {len(larger.src)} with this text")
    assert describe_choice(TokenizerSettings(vocab_size=500), larger, pairs=100, noun="pairs") == []


def test_a_chosen_size_is_told_for_each_language_that_it_is_for(tmp_path: Path) -> None:
    given = {"vocab_size": "auto", "joint": False}
    both = train(tmp_path, **given)[0]
    each, other = len(both.src), len(both.tgt)
    assert each != other
    [line] = describe_choice(TokenizerSettings.model_validate(given), both, pairs=18, noun="pairs")
    assert line.endswith(f"; {each} and {other} with this text")
    own = TokenizerSettings.model_validate({**given, "tgt_vocab_size": other})
    assert describe_choice(own, both, pairs=18, noun="pairs")[0].endswith(f"; {each} with this text")


def known_to(characters: str, name: str, unknown: str, *, others: int = 0) -> tuple[Statistics, dict[str, Tokenizer]]:
    """Statistics of a column with unknown pieces of a character each, and other pieces, and a tokenizer for it."""
    statistics = Statistics.empty([name])
    column = statistics.train.columns[name]
    column.pieces.total = len(unknown) + others
    column.unknown, column.unknown_characters = len(unknown), Counter(unknown)
    return statistics, {name: Tokenizer(train_tokenizer([characters], TokenizerPlan("char", len(set(characters)) + 5)))}


@pytest.mark.parametrize(
    ("name", "unknown", "others", "message"),
    [
        ("src", "AAABÄ", 95, "5.0% of the source pieces are unknown to the tokenizer, most often A B Ä: its own text"),
        ("tgt", "щя\u202a", 197, "1.5% of the target pieces are unknown .* often щ я U.202A: `nmt inspect`"),
        ("ids", "ДЖ", 98, "2.0% of the pieces .* Д Ж: `nmt inspect` shows more"),  # nor does it know small ones
    ],
)
def test_a_tokenizer_that_does_not_know_the_text_is_told(name: str, unknown: str, others: int, message: str) -> None:
    (warning,) = describe_unknown(*known_to("abcä", name, unknown, others=others), lowercase=False)
    assert re.match(message, warning)


def test_capitals_that_a_tokenizer_of_small_letters_does_not_know_are_told_with_the_cure() -> None:
    capitals = known_to("abc", "src", "AAABщ")
    (cased,) = describe_unknown(*capitals, lowercase=False)
    (small,) = describe_unknown(*capitals, lowercase=True)
    assert cased.endswith(": its own text seems to have been lower-cased, as data.lowercase = true makes this")
    assert small.endswith(": `nmt inspect` shows more")


def test_few_unknown_pieces_and_unknown_words_are_no_warning() -> None:
    few, words = known_to("abc", "src", "A", others=100), known_to("abc", "tgt", "", others=10)
    words[0].train.columns["tgt"].unknown = 5
    assert describe_unknown(*few, lowercase=False) == describe_unknown(*words, lowercase=False) == []
