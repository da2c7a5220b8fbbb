"""How fast `nmt` translates on one pinned core by every kind of search, beside the machine's own limit.

    python tests/benchmarks/decoding_speed.py MODEL_DIR SRC REF

Prints a Markdown table. Operations are counted as in translation_speed.py; peers.py has other toolkits.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, cast

import torch
from arithmetic import Weights, at_hand, peak
from translation_speed import operations, sizes

from nmt.io.lines import read_lines
from nmt.metrics import bleu
from nmt.models.folder import load_model
from nmt.models.prepacked import SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.translate import Options, Translator

LINES: Final = 1000
BEAM: Final = 5
WARM_UP: Final = 100


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    name: str
    precision: SearchPrecision
    options: Options


@dataclass(frozen=True)
class Result:
    """What one pass over the text took, and what it was for."""

    case: Case
    seconds: float
    texts: list[str]
    pieces: int
    """Target pieces, `</s>` counted."""
    operations: float
    at_once: float
    """Sentences of a step, on average."""
    needed: float
    """Share of the decoder's rows that were needed."""


class Bench:
    """A model, a text, and the arithmetic peaks that were seen meanwhile."""

    def __init__(self, folder: Path, src: list[str], ref: list[str]) -> None:
        self.folder, self.src, self.ref = folder, src, ref
        self.peaks: dict[SearchPrecision, float] = dict.fromkeys(at_hand(), 0.0)
        self.translators = {precision: Translator.load(folder, precision=precision) for precision in self.peaks}
        self.last = list(self.peaks)[-1]
        self.default = self.translators[self.last]
        self.longest = max(map(len, self.default.tokenizers.src.encode(src))) + 1
        model = cast(Seq2Seq, load_model(folder, device=torch.device("cpu"))[0])
        self.weights, self.outputs = Weights.of(model), model.output
        self._known: dict[tuple[SearchPrecision, int | None, int | None], tuple[int, int, int]] = {}

    def measure(self, case: Case) -> Result:
        """Translate the text, and count what that asked for."""
        print(f"{case.name}, {case.precision}", file=sys.stderr, flush=True)
        translator = self.translators[case.precision]
        self.peaks[case.precision] = max(self.peaks[case.precision], peak(case.precision))
        translator.translate(self.src[:WARM_UP], case.options)
        steps: list[tuple[int, int]] = []  # sentences and beams of each
        hook = cast(Seq2Seq, translator.model).decoder.readout.register_forward_pre_hook(
            lambda _, inputs: steps.append(inputs[0].shape[:2])
        )
        before = time.perf_counter()
        translations = translator.translate(self.src, case.options)
        seconds = time.perf_counter() - before
        hook.remove()
        beams = case.options.beam_size
        parts, positions, pieces = self._sizes(case)
        rows = parts + beams * (pieces - parts)
        shortlist = case.options.shortlist
        outputs = shortlist * self.outputs.in_features if shortlist else None
        return Result(
            case=case,
            seconds=seconds,
            texts=[best.text for best, *_ in translations],
            pieces=pieces,
            operations=operations(self.weights, (parts, positions, pieces), beam_size=beams, outputs=outputs),
            at_once=statistics.fmean(sentences for sentences, width in steps if width == beams),
            needed=rows / sum(sentences * width for sentences, width in steps),
        )

    def _sizes(self, case: Case) -> tuple[int, int, int]:
        """Count the sentences, their source positions and target pieces, which no batch size changes."""
        options = Options(beam_size=case.options.beam_size, shortlist=case.options.shortlist, details=True)
        key = (case.precision, options.beam_size, options.shortlist)
        if key not in self._known:
            self._known[key] = sizes(self.translators[case.precision], self.src, options)
        return self._known[key]


def cases(bench: Bench) -> list[Case]:
    """List what is measured once; of the batch sizes, each budget is for so many of the longest sentences."""
    listed = [
        Case("greedy" if beams == 1 else f"beam {beams}", precision, Options(beam_size=beams))
        for beams in (1, BEAM)
        for precision in bench.peaks
    ]
    for count in (1, 8, 32, 64, 128, 256):
        budget = count * BEAM * bench.longest if count > 1 else 1
        name = f"beam {BEAM}, `--batch-tokens {budget}` ({count})"
        listed.append(Case(name, bench.last, Options(beam_size=BEAM, batch_tokens=budget)))
    if bench.default.shortlister is not None:
        for size in (256, 512, 1024):
            options = Options(beam_size=BEAM, shortlist=size)
            listed.append(Case(f"beam {BEAM}, `--shortlist {size}`", bench.last, options))
    return listed


def show_table(bench: Bench, results: list[Result]) -> None:
    listed = ", ".join(f"{name} {value / 1e9:.0f}" for name, value in bench.peaks.items())
    print(f"Arithmetic peaks, the best products of 256 x 512 x 2,048 between the rows, in Gop/s: {listed}.\n")
    print("| search | arithmetic | sentences/s | target pieces/s | BLEU | of peak | sentences at once | rows needed |")
    print("|---|---|---|---|---|---|---|---|")
    for result in results:
        case, rate = result.case, len(bench.src) / result.seconds
        share = result.operations / result.seconds / bench.peaks[case.precision]
        print(
            f"| {case.name} | {case.precision} | {rate:.0f} | {result.pieces / result.seconds:,.0f} "
            f"| {bleu(result.texts, bench.ref).score:.2f} | {share:.1%} | {result.at_once:.1f} | {result.needed:.0%} |"
        )
    same = {tuple(result.texts) for result in results if "tokens" in result.case.name}
    print(f"\nThe batch sizes gave {'the same' if len(same) == 1 else 'DIFFERENT'} translations.\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("ref", type=Path)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    src, ref = (list(islice(read_lines(path), LINES)) for path in (arguments.src, arguments.ref))
    bench = Bench(arguments.model, src, ref)
    print(f"{len(src)} lines, longest {bench.longest} pieces; `search.batch_tokens` of the model", end=" ")
    print(f"{bench.default.settings.search.batch_tokens}; torch {torch.__version__}; one thread, one pinned core.\n")
    show_table(bench, [bench.measure(case) for case in cases(bench)])


if __name__ == "__main__":
    main()
