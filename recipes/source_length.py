"""BLEU by length of the source: what attention is for (Bahdanau et al., 2015, fig. 2), and what reversal is for."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from nmt.io.files import written
from nmt.io.lines import read_lines
from nmt.metrics import bleu
from nmt.report.pictures import STYLE, drawing

COLOURS: Final = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")
"""Told apart by the colour-blind too (Okabe and Ito, 2008)."""


def cut_by_length(src: Sequence[str], groups: int) -> list[list[int]]:
    """Put lines into groups of about equal size, shortest sources first; equal lengths stay together.

    Returns:
        The indices of the lines of each group; fewer groups where many lengths are equal.
    """
    lengths = [len(text.split()) for text in src]
    order = sorted(range(len(src)), key=lengths.__getitem__)
    ends = sorted({lengths[order[len(src) * (group + 1) // groups - 1]] for group in range(groups)})
    starts = [-1, *ends[:-1]]
    return [[line for line in order if start < lengths[line] <= end] for start, end in zip(starts, ends, strict=True)]


def score_groups(groups: Sequence[Sequence[int]], references: Sequence[str], hypotheses: Sequence[str]) -> list[float]:
    """Return the BLEU of each group of lines."""
    return [bleu([hypotheses[line] for line in group], [references[line] for line in group]).score for group in groups]


def draw(names: Sequence[str], scores: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw a line for each system over the groups."""
    with drawing(written(path), {**STYLE, "legend.frameon": False, "figure.constrained_layout.use": True}) as file:
        figure = Figure(figsize=(7, 4.2), dpi=100)
        axes = figure.subplots()
        for (system, values), colour in zip(scores.items(), COLOURS, strict=False):
            axes.plot(range(len(names)), values, "o-", color=colour, label=system)
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel="words of the source", ylabel="BLEU")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left")
        figure.savefig(file, format="png")


def main() -> None:
    """Score, print a table, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("src", type=Path, help="the source that was translated")
    parser.add_argument("reference", type=Path)
    parser.add_argument("hypotheses", nargs="+", metavar="NAME=FILE", help=f"at most {len(COLOURS)}")
    parser.add_argument("--groups", type=int, default=5, help="of about equally many lines (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("source_length.png"), metavar="FILE.png")
    options = parser.parse_args()
    src, references = list(read_lines(options.src)), list(read_lines(options.reference))
    groups = cut_by_length(src, options.groups)
    lengths = [[len(src[line].split()) for line in group] for group in groups]
    names = [f"{min(found)} to {max(found)}" for found in lengths]
    print("| system | " + " | ".join(names) + " | all |\n|---|" + "---|" * (len(names) + 1))
    scores: dict[str, list[float]] = {}
    for named in options.hypotheses:
        name, _, path = named.partition("=")
        hypotheses = list(read_lines(Path(path)))
        scores[name] = score_groups(groups, references, hypotheses)
        cells = [f"{value:.2f}" for value in (*scores[name], bleu(hypotheses, references).score)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"| lines | {' | '.join(str(len(group)) for group in groups)} | {len(src)} |")
    draw(names, scores, options.output)


if __name__ == "__main__":
    main()
