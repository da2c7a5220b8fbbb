"""How fast a processor multiplies matrices at best, and how much of that a model asks for."""

import time
import warnings
from dataclasses import dataclass
from typing import Final, Self

import torch
from records import emit
from torch import nn

from nmt.models.cells.layer import RecurrentLayer
from nmt.models.devices import choose_search_precision
from nmt.models.prepacked import LINEAR, SearchPrecision
from nmt.models.seq2seq import Seq2Seq

PEAK_SHAPE: Final = (256, 512, 2048)
PEAK_TRIES: Final = 100


def peak(precision: SearchPrecision) -> float:
    """Measure products of 256 rows with 2,048 x 512 prepacked weights; return the best, in operations a second."""
    count, inputs, outputs = PEAK_SHAPE
    rows, product = (
        torch.rand(count, inputs) * 2 - 1,
        LINEAR[precision](torch.randn(outputs, inputs), None, bounded=True),
    )
    times = []
    with torch.inference_mode():
        for _ in range(PEAK_TRIES):
            before = time.perf_counter()
            product(rows)
            times.append(time.perf_counter() - before)
    return 2.0 * count * inputs * outputs / min(times)


@dataclass(frozen=True)
class Weights:
    """How many weights are multiplied with: products with weights only, as the textbook has them."""

    encoder: int
    """For a source position; the keys of the attention are among them."""
    bridges: int
    """For a sentence."""
    decoder: int
    """For a row of the decoder, without the output layer."""
    output: int

    @classmethod
    def of(cls, model: Seq2Seq) -> Self:
        """Count those of a model."""
        counts = {"encoder": 0, "bridges": 0, "decoder": 0, "output": 0}
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | RecurrentLayer):
                at_source = name.startswith("encoder.") or name.endswith("key_projection")
                room = "encoder" if at_source else "bridges" if ".bridges." in name else "decoder"
                own = (parameter.numel() for parameter in module.parameters() if parameter.ndim == 2)
                counts["output" if name == "output" else room] += sum(own)
        return cls(**counts)


def at_hand() -> list[SearchPrecision]:
    """List the precisions that this machine has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lacks one
        return [each for each in LINEAR if choose_search_precision(each, torch.device("cpu")) == each]


def main() -> None:
    """Print the peak of each precision that this machine has, as records."""
    torch.set_num_threads(1)
    about = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    for precision in at_hand():
        emit("machine", precision, peak(precision) / 1e9, "Gop/s", notes=about)


if __name__ == "__main__":
    main()
