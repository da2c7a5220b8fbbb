import pytest
from pydantic import ValidationError

from nmt.config import CorpusSettings, DataSettings, TrainingCorpusSettings, load_settings


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "\x00", "a\x85", "a\u2028b", "\ud800"])
@pytest.mark.parametrize("kind", [CorpusSettings, TrainingCorpusSettings])
def test_a_name_that_breaks_a_line_is_refused(kind: type[CorpusSettings], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"path": ["a.tsv"], "name": name})
    [error] = caught.value.errors()
    assert error["msg"] == f"Value error, found the name {name!r}, expected no control characters and no line ends"


@pytest.mark.parametrize("name", ["news 2024", "m\u00e9t\u00e9o", "\u0646\u200c\u0627", "\U0001f600", None])
def test_any_other_name_is_taken(name: str | None) -> None:
    assert CorpusSettings(path=("a.tsv",), name=name).name == name


def test_corpora_validation_sets_and_the_test_text_have_tags_of_the_same_form() -> None:
    def data(tag: str) -> dict[str, object]:
        one = [{"path": ["a.tsv"], "tag": tag}]
        return {"corpora": one, "validation": one, "test_tag": tag}

    found = DataSettings.model_validate(data("<a>"))
    assert (found.corpora[0].tag, found.validation[0].tag, found.test_tag) == ("<a>", "<a>", "<a>")
    for wrong in ("news", "<a b>", "<>", "<<a>>", "<a>\n"):
        with pytest.raises(ValidationError) as caught:
            DataSettings.model_validate(data(wrong))
        assert {error["type"] for error in caught.value.errors()} == {"string_pattern_mismatch"}
        assert len(caught.value.errors()) == 3


@pytest.mark.parametrize("tag", ["<s>", "</s>", "<pad>", "<unk>", "<0x0A>", "<a\u2581b>", "<a\x1b>"])
def test_a_tag_that_no_piece_can_be_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CorpusSettings(path=("a.tsv",), tag=tag)
    [error] = caught.value.errors()
    assert error["msg"] == (
        f"Value error, found the tag {tag!r}, which no piece of a tokenizer can be; choose another name"
    )


@pytest.mark.parametrize("table", ["corpora", "validation"])
def test_one_file_of_a_corpus_needs_no_list(table: str) -> None:
    settings = load_settings(overrides=[f'data.{table}=[{{src = "a.en", tgt = "a.fr"}}, {{path = "b.tsv"}}]'])
    first, second = getattr(settings.data, table)
    assert (first.src, first.tgt, second.path) == (("a.en",), ("a.fr",), ("b.tsv",))
