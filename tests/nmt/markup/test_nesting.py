from nmt.markup.putting import Node, tree
from nmt.markup.spans import extract


def nodes(line: str) -> list[Node]:
    return tree(extract(line).spans).children


def test_a_pair_holds_what_stands_between_its_tags() -> None:
    assert nodes("<b> {x} <i> a </i> </b> {y}") == [Node(0, 4, [Node(1, 1), Node(2, 3)]), Node(5, 5)]


def test_pairs_of_one_name_nest() -> None:
    assert nodes("<b> <b> </b> </B>") == [Node(0, 3, [Node(1, 2)])]


def test_a_tag_without_partner_is_single() -> None:
    assert nodes("</b> <p> a <b>") == [Node(0, 0), Node(1, 1), Node(2, 2)]
    assert nodes("<b> <p> </b> </p>") == [Node(0, 2, [Node(1, 1)]), Node(3, 3)]


def test_tags_that_stand_alone_open_nothing() -> None:
    assert nodes("<br> <x/> </br> </x>") == [Node(0, 0), Node(1, 1), Node(2, 2), Node(3, 3)]
