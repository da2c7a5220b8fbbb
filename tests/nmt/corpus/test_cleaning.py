from nmt.corpus.cleaning import REASONS, Cleaner


def cleaner(
    max_characters: int = 10, max_length_ratio: float = 3.0, drop_copies: bool = True, drop_duplicates: bool = True
) -> Cleaner:
    return Cleaner(
        max_characters=max_characters,
        max_length_ratio=max_length_ratio,
        drop_copies=drop_copies,
        drop_duplicates=drop_duplicates,
    )


def test_a_pair_with_an_empty_side_is_empty() -> None:
    assert [cleaner().reason(src, tgt) for src, tgt in (("", "b"), ("a", ""), ("", ""))] == ["empty"] * 3


def test_the_longest_side_may_have_as_many_characters_as_allowed() -> None:
    assert cleaner().reason("a" * 10, "b" * 10) is None
    assert cleaner().reason("a" * 10, "b" * 11) == "too_long"
    assert cleaner().reason("a" * 11, "b" * 10) == "too_long"


def test_the_length_ratio_holds_both_ways() -> None:
    assert cleaner().reason("a" * 3, "b" * 9) is None
    assert cleaner().reason("a" * 3, "b" * 10) == "length_ratio"
    assert cleaner().reason("a" * 10, "b" * 3) == "length_ratio"


def test_a_copy_is_rejected_unless_copies_are_wanted() -> None:
    assert cleaner().reason("same", "same") == "copy"
    assert cleaner(drop_copies=False).reason("same", "same") is None


def test_a_pair_is_a_duplicate_the_second_time_only_as_a_whole() -> None:
    judge = cleaner()
    judged = [judge.reason(src, tgt) for src, tgt in (("a", "b"), ("a", "c"), ("d", "b"), ("a", "b"), ("a", "b"))]
    assert judged == [None, None, None, "duplicate", "duplicate"]


def test_duplicates_stay_when_they_are_wanted() -> None:
    judge = cleaner(drop_duplicates=False)
    assert [judge.reason("a", "b"), judge.reason("a", "b")] == [None, None]


def test_moving_a_character_from_source_to_target_makes_another_pair() -> None:
    judge = cleaner()
    assert [judge.reason("ab", "c"), judge.reason("a", "bc")] == [None, None]


def test_the_first_reason_that_holds_is_the_one_named() -> None:
    judge = cleaner(max_length_ratio=1.0)
    assert judge.reason("", "b" * 11) == "empty"
    assert judge.reason("a", "b" * 11) == "too_long"
    assert judge.reason("a" * 11, "a" * 11) == "too_long"
    assert [judge.reason("a", "a"), judge.reason("a", "a")] == ["copy", "copy"]
    assert REASONS == ("empty", "too_long", "length_ratio", "copy", "duplicate", "too_many_pieces")
