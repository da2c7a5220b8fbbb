"""How fast `nmt` translates on one pinned core, beside the machine's own limit and CTranslate2 where installed.

    python tests/benchmarks/decoding_speed.py MODEL_DIR SRC REF
    PEERS=FOLDER python tests/benchmarks/decoding_speed.py MODEL_DIR SRC REF --bench FOLDER   # the peer's own scripts

Prints Markdown tables. The operations of a translation are those that its beam needs at least, products with weights
only: 2 for each weight of the encoder and source position, of the bridges and sentence, of the decoder and output layer
and row. Rows are one in the first step and a beam in each of the others, up to the `</s>` of the best hypothesis.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

import torch
from torch import Tensor

from nmt.io.lines import read_lines
from nmt.metrics import bleu
from nmt.models.kernels import LINEAR, PrepackedLinear, SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.search.beam import Beams
from nmt.search.engine import Engine
from nmt.search.frontier import FORBIDDEN, Limits
from nmt.search.protocol import Sentence
from nmt.search.rules import Scoring
from nmt.text.vocab import EOS
from nmt.translate import Options, Translator

LINES: Final = 1000
ROUNDS: Final = 3
PASSES: Final = 3
"""Passes over the text in a round, of which the best counts, as the peer's script does it."""
BEAM: Final = 5
FORCED: Final = 15
"""Target pieces of every sentence where the length is forced; the peer's weights are random and would never end."""
PEER: Final = "CTranslate2, int8, Transformer of 4 + 4 layers, d 256, ffn 1024"
PEER_SHAPE: Final = ("4", "256", "4", "1024")
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
        self.peaks: dict[SearchPrecision, float] = dict.fromkeys(LINEAR, 0.0)
        self.translators = {precision: Translator.load(folder, precision=precision) for precision in LINEAR}
        self.default = self.translators["int8"]
        rows = self.default.tokenizers.src.encode(src)
        self.sentences = [Sentence(tuple(ids), number) for number, ids in enumerate(rows)]
        self.longest = max(map(len, rows)) + 1
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
        encoder, bridges, decoder = self._weights(case.options.shortlist)
        return Result(
            case=case,
            seconds=seconds,
            texts=[best.text for best, *_ in translations],
            pieces=pieces,
            operations=2.0 * (encoder * positions + bridges * parts + decoder * rows),
            at_once=statistics.fmean(sentences for sentences, width in steps if width == beams),
            needed=rows / sum(sentences * width for sentences, width in steps),
        )

    def _sizes(self, case: Case) -> tuple[int, int, int]:
        """Count the sentences, their source positions and target pieces, which no batch size changes."""
        options = Options(beam_size=case.options.beam_size, shortlist=case.options.shortlist, details=True)
        key = (case.precision, options.beam_size, options.shortlist)
        if key not in self._known:
            found = self.translators[case.precision].translate(self.src, options)
            parts = [part for best, *_ in found for part in best.details or ()]
            positions = sum(len(part.src) + 1 for part in parts)
            self._known[key] = (len(parts), positions, sum(len(part.tgt) + 1 for part in parts))
        return self._known[key]

    def _weights(self, shortlist: int | None) -> tuple[int, int, int]:
        """Count the weights that a source position, a sentence, and a row of the decoder are multiplied with."""
        counts = {"encoder": 0, "bridges": 0, "decoder": 0}
        for name, module in cast(Seq2Seq, self.default.model).named_modules():
            if isinstance(module, PrepackedLinear):
                at_source = name.startswith("encoder.") or name.endswith("key_projection")
                room = "encoder" if at_source else "bridges" if ".bridges." in name else "decoder"
                outputs = shortlist if shortlist and name == "output" else module.out_features
                counts[room] += outputs * module.in_features
        return counts["encoder"], counts["bridges"], counts["decoder"]

    def forced(self, precision: SearchPrecision) -> float:
        """Search with exactly FORCED pieces a sentence, from pieces to ids; return sentences/s."""
        translator = self.translators[precision]

        def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Beams:
            limits = Limits.start(torch.full_like(src_lengths, FORCED), never=(*FORBIDDEN, EOS))
            return Beams.start(limits, beam_size=BEAM, n_best=1, scoring=Scoring(length_penalty=1.0))

        settings = translator.settings
        engine = Engine(
            translator.model,
            start,
            batch_tokens=settings.search.batch_tokens,
            reverse_source=settings.model.reverse_source,
        )
        before = time.perf_counter()
        waiting = sorted(self.sentences, key=lambda sentence: len(sentence.ids))
        found = []
        while waiting or engine.busy:
            if waiting and engine.hungry:
                engine.add([waiting.pop() for _ in range(min(engine.at_once(len(waiting[-1].ids)), len(waiting)))])
            found += [best for _, (best, *_) in engine.step()]
        if any(len(hypothesis.ids) != FORCED for hypothesis in found):
            raise SystemExit("a translation of forced length has another length")
        return len(found) / (time.perf_counter() - before)

    def free(self, case: Case) -> float:
        """Translate the text from lines to lines; return sentences/s."""
        before = time.perf_counter()
        self.translators[case.precision].translate(self.src, case.options)
        return len(self.src) / (time.perf_counter() - before)


def peak(precision: SearchPrecision) -> float:
    """Measure products of 256 rows with 2,048 x 512 prepacked weights; return the best, in operations a second."""
    rows, weight = torch.rand(256, 512) * 2 - 1, torch.randn(2048, 512)
    product = LINEAR[precision](weight, None, bounded=True)
    times = []
    with torch.inference_mode():
        for _ in range(100):
            before = time.perf_counter()
            product(rows)
            times.append(time.perf_counter() - before)
    return 2.0 * rows.numel() * len(weight) / min(times)


def cases(bench: Bench) -> list[Case]:
    """List what is measured once; of the batch sizes, each budget is for so many of the longest sentences."""
    listed = [
        Case("greedy" if beams == 1 else f"beam {beams}", precision, Options(beam_size=beams))
        for beams in (1, BEAM)
        for precision in LINEAR
    ]
    for count in (1, 8, 32, 64, 128, 256):
        budget = count * BEAM * bench.longest if count > 1 else 1
        name = f"beam {BEAM}, `--batch-tokens {budget}` ({count})"
        listed.append(Case(name, "int8", Options(beam_size=BEAM, batch_tokens=budget)))
    if bench.default.shortlister is not None:
        for size in (256, 512, 1024):
            options = Options(beam_size=BEAM, shortlist=size)
            listed.append(Case(f"beam {BEAM}, `--shortlist {size}`", "int8", options))
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


def peer_rate(bench: Path, folder: str, core: int) -> float:
    """Let the peer's script decode with forced length; return its sentences/s."""
    script = [str(Path(os.environ["PEERS"]) / "venv-onmt" / "bin" / "python"), str(bench / "ct2.py")]
    command = [*script, "speed", folder, "int8", str(BEAM), "64", str(FORCED)]
    environment = {**os.environ, "CORE": str(core), "OMP_NUM_THREADS": "1"}
    if not Path(folder).exists():
        subprocess.run([*script, "random", folder, *PEER_SHAPE], check=True, stdout=subprocess.DEVNULL)
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    records = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    [value] = [float(record["value"]) for record in records if record["unit"] == "sentences/s"]
    return value


def show_comparison(bench: Bench, scripts: Path | None, core: int) -> None:
    runs: dict[str, Callable[[], float]] = {
        f"nmt, int8, beam {BEAM}": lambda: bench.free(Case("", "int8", Options(beam_size=BEAM))),
        f"nmt, int8, beam {BEAM}, {FORCED} pieces a sentence, cutting not timed": lambda: bench.forced("int8"),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    with TemporaryDirectory() as folder:
        for number in range(ROUNDS):  # interleaved, so that a slow minute of a shared machine is everybody's
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            for name, run in runs.items():
                rates[name].append(max(run() for _ in range(PASSES)))
            if scripts is not None:
                rates.setdefault(f"{PEER}, the same", []).append(peer_rate(scripts, f"{folder}/ct2-256", core))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    theirs = medians.get(f"{PEER}, the same")
    print(f"Medians of {ROUNDS} interleaved rounds, each the best of {PASSES} passes:\n")
    print("| | sentences/s | rounds | times CTranslate2 |\n|---|---|---|---|")
    for name, value in medians.items():
        rounds = ", ".join(f"{rate:.0f}" for rate in rates[name])
        print(f"| {name} | {value:.0f} | {rounds} | {f'{value / theirs:.2f}' if theirs else ''} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("ref", type=Path)
    parser.add_argument("--bench", type=Path, metavar="FOLDER", help="scripts that run CTranslate2, below $PEERS")
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.bench and "PEERS" not in os.environ:
        parser.error("--bench needs the environment variable PEERS: where the other toolkits are installed")
    os.sched_setaffinity(0, {arguments.core})
    src, ref = (list(islice(read_lines(path), LINES)) for path in (arguments.src, arguments.ref))
    bench = Bench(arguments.model, src, ref)
    print(f"{len(src)} lines, longest {bench.longest} pieces; `search.batch_tokens` of the model", end=" ")
    print(f"{bench.default.settings.search.batch_tokens}; torch {torch.__version__}; one thread, one pinned core.\n")
    show_comparison(bench, arguments.bench, arguments.core)
    show_table(bench, [bench.measure(case) for case in cases(bench)])


if __name__ == "__main__":
    main()
