from pathlib import Path

from nmt.io.lines import read_lines
from nmt.phrasebook import choose_examples, write_corpus


def test_the_corpus_is_written_as_text_that_settings_find(tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "corpus", train_pairs=3000)
    sides = [(data.train_src[0], data.train_tgt[0]), (data.valid_src, data.valid_tgt), (data.test_src, data.test_tgt)]
    for (src, tgt), count in zip(sides, (3000, 500, 500), strict=True):
        assert src is not None
        assert tgt is not None
        assert len(list(read_lines(data.root / src))) == len(list(read_lines(data.root / tgt))) == count


def test_fewer_pairs_are_the_first_ones(tmp_path: Path) -> None:
    write_corpus(tmp_path / "all", train_pairs=20_000)
    write_corpus(tmp_path / "few", train_pairs=3000)
    few, all_of_them = ((tmp_path / name / "train.en").read_text("utf-8").splitlines() for name in ("few", "all"))
    assert len(all_of_them) == 20_000
    assert few == all_of_them[:3000]
    for name in ("valid.fr", "test.en"):
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_examples_are_spread_over_the_test_text(tmp_path: Path) -> None:
    paths = []
    for name in ("src", "hyp", "ref"):
        paths.append(tmp_path / name)
        paths[-1].write_text("".join(f"{name} {number}\n" for number in range(10)), encoding="utf-8")
    examples = choose_examples(paths[0], paths[1], paths[2], count=3)
    assert examples == [(f"src {n}", f"hyp {n}", f"ref {n}") for n in (0, 3, 6)]
    assert len(choose_examples(paths[0], paths[1], paths[2], count=99)) == 10
