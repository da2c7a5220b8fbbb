import io
import json
from pathlib import Path

import numpy as np

from nmt.config import DataSettings
from nmt.corpus.reading import Pair
from nmt.prepared.selection import Progress, Rejections, choose, chosen_blocks, clean
from nmt.prepared.spool import Spool

ALL = np.ones(100, dtype=np.bool_)


def test_rejected_pairs_are_listed_with_file_line_and_reason() -> None:
    file = io.StringIO()
    rejections = Rejections(file)
    pairs = [Pair("a", "b", "é.en", 1), Pair("", "b", "é.en", 2), Pair("a", "b", "f.en", 1)]
    kept = list(clean(pairs, DataSettings(), rejections, lambda progress: None))
    assert kept == pairs[:1]
    assert file.getvalue().splitlines()[0] == '{"file": "é.en", "line": 2, "reason": "empty"}'
    assert json.loads(file.getvalue().splitlines()[1]) == {"file": "f.en", "line": 1, "reason": "duplicate"}
    assert rejections.by_reason() == {
        "empty": 1,
        "too_long": 0,
        "length_ratio": 0,
        "copy": 0,
        "duplicate": 1,
        "too_many_pieces": 0,
    }
    assert (rejections.total, str(rejections)) == (2, "1 empty, 1 duplicate")


def test_nothing_rejected_is_said_in_words() -> None:
    assert str(Rejections(io.StringIO())) == "none was read"


def test_the_settings_decide_what_is_rejected() -> None:
    data = DataSettings(max_characters=3, max_length_ratio=2.0, drop_copies=False, drop_duplicates=False)
    rejections = Rejections(io.StringIO())
    pairs = [Pair(src, tgt, "f", 1) for src, tgt in (("abc", "a"), ("abcd", "abc"), ("a", "a"), ("a", "a"))]
    assert list(clean(pairs, data, rejections, lambda progress: None)) == pairs[2:]
    assert str(rejections) == "1 too_long, 1 length_ratio"


def test_reading_reports_every_thousand_pairs() -> None:
    seen: list[Progress] = []
    pairs = (Pair("a", "b", "f", line) for line in range(1, 2501))
    list(clean(pairs, DataSettings(), Rejections(io.StringIO()), seen.append))
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
    spool = Spool(tmp_path / "spool", block=2)
    spool.write(pairs)
    chosen = np.array([False, True, True, False, True])
    assert list(chosen_blocks(spool, chosen)) == [[pairs[1]], [pairs[2]], [pairs[4]]]
