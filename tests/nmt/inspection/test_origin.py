from collections.abc import Callable
from pathlib import Path

from nmt.inspection import inspect, origin
from nmt.prepared import PreparedText
from nmt.prepared.manifest import CorpusCount, OverlapCount, ValidCount
from nmt.prepared.statistics import Example

MakeFolder = Callable[..., Path]


def test_the_first_numbers_are_those_of_the_text(make_folder: MakeFolder) -> None:
    part = origin.tiles(inspect(make_folder(read=29_000)))
    assert "<li><b>29,000</b>pairs read</li><li><b>2</b>left out</li><li><b>2</b>to train on</li>" in part
    assert "<li><b>7</b>pieces, joint</li><li><b>3</b>running words, source</li>" in part


def test_corpora_are_shown_with_their_weights_tags_and_share(make_folder: MakeFolder) -> None:
    corpora = (
        CorpusCount(name="a&b", weight=1, tag=None, read=120, rejected={"copy": 20}, heldout=40, train=60),
        CorpusCount(name="news", weight=0.5, tag="<news>", read=40, rejected={}, heldout=0, train=40),
    )
    part = origin.sources(inspect(make_folder(corpora=corpora)))
    cells = "".join(f'<td class="number">{cell}</td>' for cell in (120, 20, 40, 60, 1, "75.0%"))
    assert f'<th scope="row">a&amp;b</th>{cells}<td></td>' in part
    assert '<td class="number">0.5</td><td class="number">25.0%</td><td>&lt;news&gt;</td>' in part


def test_files_are_shown_with_the_settings_that_named_them(make_folder: MakeFolder) -> None:
    part = origin.sources(inspect(make_folder()))
    assert f'<th scope="row">data.train_src</th><td>a&amp;b.en</td><td>{"0" * 64}</td>' in part


def test_every_reason_has_its_number_share_and_meaning(make_folder: MakeFolder) -> None:
    part = origin.rejections(inspect(make_folder()))
    assert "2 of 4 pairs: 50.0%." in part
    assert '<th scope="row">copy</th><td class="number">1</td><td class="number">25.0%</td>' in part
    assert '<th scope="row">empty</th><td class="number">0</td><td class="number">0.00%</td>' in part
    assert '<td><span class="note">the target is the source (data.drop_copies)</span></td>' in part


def test_examples_are_escaped_cut_and_say_where_they_stand(make_folder: MakeFolder) -> None:
    part = origin.examples(inspect(make_folder()))
    assert '<span dir="auto" class="text">&lt;script&gt;alert(1)&lt;/script&gt; &amp; co</span>' in part
    assert f"{'x' * 300} \u2026 (1,000 characters)</span>" in part
    assert "<code>a&amp;b.en:1</code>" in part
    assert part.index("<summary>length_ratio (1)</summary>") < part.index("<summary>copy (1)</summary>")


def test_text_that_is_whole_is_shown_as_it_is() -> None:
    assert origin.cut_texts(Example(1, "f", 1, ("abc", "ab"), (3, 4))) == ["abc", "ab \u2026 (4 characters)"]


def test_nothing_left_out_has_no_examples(make_folder: MakeFolder) -> None:
    inspection = inspect(make_folder(rejected=[]))
    assert origin.examples(inspection) == "<p>Nothing was left out.</p>"
    assert "0 of 2 pairs: 0.00%." in origin.rejections(inspection)


def test_overlap_is_counted_by_side(make_folder: MakeFolder) -> None:
    counts = {"validation": OverlapCount(source=1, target=2, pair=0)}
    part = origin.overlap(inspect(make_folder(overlap=counts)))
    cells = "".join(f'<td class="number">{cell}</td>' for cell in ("1 (50.0%)", "2 (100.0%)", "0 (0.00%)"))
    assert f'<th scope="row">validation</th>{cells}' in part
    assert "No pair is left out for it (data.drop_overlap)." in part


def test_overlap_that_is_left_out_is_named(make_folder: MakeFolder) -> None:
    part = origin.overlap(inspect(make_folder(sections={"data": {"drop_overlap": ["source", "pair"]}})))
    assert "Pairs that share the source, pair are left out (data.drop_overlap)." in part


def test_without_other_text_there_is_no_overlap(make_folder: MakeFolder) -> None:
    assert origin.overlap(inspect(make_folder(overlap={}))) == "<p>There is no other text to compare with.</p>"


def test_validation_sets_are_measured(make_folder: MakeFolder) -> None:
    sets = (ValidCount(name="news", pairs=1, dropped=3, tags=("<a>", "<b>")),)
    part = origin.validation(inspect(make_folder(validation=sets)))
    # The set is ("a", "bz"): two pieces and three, one of which is unknown.
    cells = [1, 3, 2, "2.0", "0.00%", 3, "3.0", "33.3%"]
    assert (
        '<th scope="row">news</th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "<td>&lt;a&gt;, &lt;b&gt;</td>"
        in part
    )


def test_the_validation_lines_of_a_text_are_measured(toy_text_data: PreparedText) -> None:
    part = origin.validation(inspect(toy_text_data.folder))
    assert '<td class="number">30</td><td class="number">0</td>' in part
    assert "tag" not in part


def test_settings_that_were_chosen_come_before_all_others(make_folder: MakeFolder) -> None:
    part = origin.settings(inspect(make_folder(sections={"data": {"src_lang": "en"}})))
    chosen, every = part.split("<summary>All settings</summary>")
    assert '<th scope="row">data.src_lang</th><td><code>&quot;en&quot;</code></td>' in chosen
    assert "data.max_pieces" not in chosen
    assert '<th scope="row">data.max_pieces</th><td><code>128</code></td>' in every


def test_settings_that_are_all_the_defaults_are_said_to_be(make_folder: MakeFolder) -> None:
    part = origin.settings(inspect(make_folder(sections={"tokenizer": {}})))
    assert part.startswith("<p>All settings are the defaults.</p>")
