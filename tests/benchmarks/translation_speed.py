"""How fast `nmt` translates on one pinned core, and what share of the machine's arithmetic peak that is.

    python tests/benchmarks/translation_speed.py MODEL_DIR SRC [--precision P] [--beam N] [--pieces N]

Without --pieces, lines become lines, cutting into pieces and all included. With --pieces, every sentence gets as many
pieces, and from pieces to ids is timed: what a toolkit whose weights are random, and would never end, is compared with.
The best of three passes over at most 1,000 lines counts. Operations are those that the beam needs at least as the
textbook has them, products with weights only, those too that `nmt` makes once for each piece of the vocabulary and
looks up: 2 for each weight of the encoder and source position, of the bridges and sentence, of the decoder and output
layer and row. Rows are one in the first step and a beam in each of the others, up to the `</s>` of the best hypothesis.
The peak is that of the arithmetic used, measured before and after. Prints JSON lines.
"""

import argparse
import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, cast

import torch
from arithmetic import Weights, peak
from records import emit
from torch import Tensor

from nmt.io.lines import read_lines
from nmt.models.devices import choose_search_precision
from nmt.models.folder import load_model
from nmt.models.seq2seq import Seq2Seq
from nmt.search.beam import Beams
from nmt.search.engine import Engine
from nmt.search.frontier import FORBIDDEN, Limits
from nmt.search.protocol import Sentence
from nmt.search.rules import Scoring
from nmt.text.vocab import EOS
from nmt.translate import Options, Translator

LINES: Final = 1000
PASSES: Final = 3
CPU: Final = torch.device("cpu")


def forced(translator: Translator, sentences: Sequence[Sentence], *, beam_size: int, pieces: int) -> None:
    """Search with exactly so many pieces a sentence, from pieces to ids."""

    def start(sentences: Sequence[Sentence], src_lengths: Tensor) -> Beams:
        limits = Limits.start(torch.full_like(src_lengths, pieces), never=(*FORBIDDEN, EOS))
        return Beams.start(limits, beam_size=beam_size, n_best=1, scoring=Scoring(length_penalty=1.0))

    settings = translator.settings
    engine = Engine(
        translator.model, start, batch_tokens=settings.search.batch_tokens, reverse_source=settings.model.reverse_source
    )
    waiting = sorted(sentences, key=lambda sentence: len(sentence.ids))
    found = []
    while waiting or engine.busy:
        if waiting and engine.hungry:
            engine.add([waiting.pop() for _ in range(min(engine.at_once(len(waiting[-1].ids)), len(waiting)))])
        found += [best for _, (best, *_) in engine.step()]
    if any(len(hypothesis.ids) != pieces for hypothesis in found):
        raise SystemExit("a translation of forced length has another length")


def sizes(translator: Translator, src: list[str], options: Options) -> tuple[int, int, int]:
    """Count the sentences, their source positions and target pieces, with the `</s>` of each."""
    found = translator.translate(src, options)
    parts = [part for best, *_ in found for part in best.details or ()]
    return len(parts), sum(len(part.src) + 1 for part in parts), sum(len(part.tgt) + 1 for part in parts)


def operations(weights: Weights, sizes: tuple[int, int, int], *, beam_size: int, outputs: int | None = None) -> float:
    """Count what such sizes ask for; `outputs`: weights of a shortlisted output layer."""
    parts, positions, pieces = sizes
    rows = parts + beam_size * (pieces - parts)
    row = weights.decoder + (weights.output if outputs is None else outputs)
    return 2.0 * (weights.encoder * positions + weights.bridges * parts + row * rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("src", type=Path)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "int8"], default="auto")
    parser.add_argument("--beam", type=int, default=5, metavar="N")
    parser.add_argument("--pieces", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    src, beam_size = list(islice(read_lines(arguments.src), LINES)), arguments.beam
    chosen = choose_search_precision(arguments.precision, CPU)
    translator = Translator.load(arguments.model, device="cpu", precision=chosen)
    best = peak(chosen)
    rows = translator.tokenizers.src.encode(src)
    sentences = [Sentence(tuple(ids), number) for number, ids in enumerate(rows)]
    options = Options(beam_size=beam_size)
    seconds = []
    for _ in range(PASSES):
        before = time.perf_counter()
        if arguments.pieces:
            forced(translator, sentences, beam_size=beam_size, pieces=arguments.pieces)
        else:
            translator.translate(src, options)
        seconds.append(time.perf_counter() - before)
    best = max(best, peak(chosen))
    found = sizes(translator, src, Options(beam_size=beam_size, details=True))
    if arguments.pieces:
        found = (len(rows), sum(map(len, rows)) + len(rows), arguments.pieces * len(rows))
    model = cast(Seq2Seq, load_model(arguments.model, device=CPU)[0])
    share = operations(Weights.of(model), found, beam_size=beam_size) / min(seconds) / best
    params = f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f}M"
    emit("nmt", f"beam {beam_size}", len(src) / min(seconds), "sentences/s", params, f"{chosen}, best of {PASSES}")
    emit("nmt", f"beam {beam_size}", found[2] / min(seconds), "target tokens/s", params, chosen)
    emit("nmt", "share of the peak", 100 * share, "%", params, chosen)
    emit("machine", chosen, best / 1e9, "Gop/s")


if __name__ == "__main__":
    main()
