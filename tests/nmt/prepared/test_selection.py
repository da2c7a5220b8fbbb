import io
import json
from pathlib import Path

import numpy as np

from nmt.corpus.cleaning import Reason
from nmt.corpus.reading import Line, Pair
from nmt.prepared.selection import Progress, Rejections, choose, chosen_blocks, sift
from nmt.prepared.spool import Spool

ALL = np.ones(100, dtype=np.bool_)


def too_short(record: Pair | Line) -> Reason | None:
    return None if len(record[0]) > 1 else "empty"


def test_what_is_rejected_is_listed_with_file_line_and_reason() -> None:
    file = io.StringIO()
    rejections = Rejections(file)
    pairs = [Pair("abc", "b", "é.en", 1), Pair("a", "b", "é.en", 2), Pair("", "b", "f.en", 1)]
    assert list(sift(pairs, too_short, rejections, lambda progress: None)) == pairs[:1]
    rejections.add(Line("abc", "g.en", 7), "duplicate")
    assert file.getvalue().splitlines()[0] == '{"file": "é.en", "line": 2, "reason": "empty"}'
    assert json.loads(file.getvalue().splitlines()[2]) == {"file": "g.en", "line": 7, "reason": "duplicate"}
    assert rejections.by_reason() == {
        "empty": 2,
        "too_long": 0,
        "length_ratio": 0,
        "copy": 0,
        "duplicate": 1,
        "too_many_pieces": 0,
    }
    assert (rejections.total, str(rejections)) == (3, "2 empty, 1 duplicate")


def test_reasons_that_cannot_be_are_not_counted() -> None:
    assert Rejections(io.StringIO(), ["empty"]).by_reason() == {"empty": 0}


def test_nothing_rejected_is_said_in_words() -> None:
    assert str(Rejections(io.StringIO())) == "none was read"


def test_reading_reports_every_thousand_records() -> None:
    seen: list[Progress] = []
    list(sift((Line("abc", "f", line) for line in range(1, 2501)), too_short, Rejections(io.StringIO()), seen.append))
    assert seen == [Progress("reading", 1000), Progress("reading", 2000)]


def test_as_many_as_asked_for_are_chosen_and_the_seed_decides_which() -> None:
    chosen = [choose(np.random.default_rng(seed), ALL, 30) for seed in (1, 1, 2)]
    assert [int(one.sum()) for one in chosen] == [30, 30, 30]
    assert chosen[0].tolist() == chosen[1].tolist() != chosen[2].tolist()


def test_only_candidates_are_chosen() -> None:
    candidates = np.arange(100) % 2 == 0
    chosen = choose(np.random.default_rng(1), candidates, 30)
    assert int(chosen.sum()) == 30
    assert not (chosen & ~candidates).any()


def test_a_sample_as_large_as_the_corpus_is_the_corpus() -> None:
    assert choose(np.random.default_rng(1), ALL, 100).all()


def test_chosen_pairs_are_read_from_every_block(tmp_path: Path) -> None:
    pairs = [Pair(str(line), "x", "f", line) for line in range(5)]
    spool = Spool(tmp_path / "spool", Pair, block=2)
    spool.write(pairs)
    chosen = np.array([False, True, True, False, True])
    assert list(chosen_blocks(spool, chosen)) == [[pairs[1]], [pairs[2]], [pairs[4]]]
