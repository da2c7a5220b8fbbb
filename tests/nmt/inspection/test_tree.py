import json
from collections.abc import Callable
from pathlib import Path

from nmt.inspection import inspect, to_tree

MakeFolder = Callable[..., Path]


def test_everything_the_page_shows_is_there_for_programs(make_folder: MakeFolder) -> None:
    tree = json.loads(json.dumps(to_tree(inspect(make_folder()))))
    assert tree["counts"]["rejected"] == {"empty": 0, "length_ratio": 1, "copy": 1}
    assert tree["counts"]["overlap"] == {"validation": {"source": 1, "target": 2, "pair": 0}}
    assert tree["inputs"][0]["path"] == "a&b.en"
    assert tree["settings"]["tokenizer"]["kind"] == "char"


def test_lengths_have_their_mean_quantiles_and_histogram(make_folder: MakeFolder) -> None:
    words = to_tree(inspect(make_folder()))["sides"]["source"]["lengths"]["words"]
    assert words["quantiles"]["0.5"] == 1
    assert (words["mean"], words["total"], words["largest"], words["counts"]) == (1.5, 3, 2, [0, 1, 1])


def test_ratios_are_named_by_their_middle(make_folder: MakeFolder) -> None:
    tree = to_tree(inspect(make_folder(train=[("ab a", "ab"), ("a", "a")])))
    assert tree["ratios"] == {"0.5000": 1, "1.0000": 1}


def test_unknown_pieces_are_counted_for_each_set(make_folder: MakeFolder) -> None:
    unknown = to_tree(inspect(make_folder()))["sides"]["target"]["unknown"]
    assert unknown["training"] == {"pieces": 8, "unknown": 1, "sentences": 2, "sentences_with_unknown": 1}
    assert unknown["validation"]["news"]["unknown"] == 1
    assert {one["character"]: one["name"] for one in unknown["characters"]} == {
        "\u0301": "COMBINING ACUTE ACCENT",
        "z": "LATIN SMALL LETTER Z",
    }


def test_the_vocabulary_says_how_many_pieces_cover_how_much(make_folder: MakeFolder) -> None:
    joint = to_tree(inspect(make_folder()))["vocabularies"]["joint"]
    assert (joint["size"], joint["running_pieces"], joint["unused"], joint["at_most_5_times"]) == (7, 18, 0, 2)
    assert (joint["pieces_to_cover"]["0.8"], joint["pieces_to_cover"]["0.9"]) == (3, None)


def test_examples_say_where_they_stand(make_folder: MakeFolder) -> None:
    examples = to_tree(inspect(make_folder()))["examples"]
    assert examples["copy"] == [{"file": "a&b.en", "line": 2, "texts": ["same", "same"]}]
