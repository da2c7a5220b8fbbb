"""The options of `nmt lm`, in the groups in which its help shows them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nmt_cli.options import above_zero

_OUTPUT, _SAMPLE, _COMPUTE = "Output", "Random choice", "Computation"


ModelDir = Annotated[
    Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a language model that `nmt train` wrote.")
]

Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Where the scores go; - is stdout.", rich_help_panel=_OUTPUT),
]

OutputFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--format", help="json: an object a line, with the pieces and their log-probabilities.", rich_help_panel=_OUTPUT
    ),
]

Total = Annotated[
    bool,
    typer.Option(
        "--total",
        help="Print the totals only, on stdout: a table, or JSON. Else they go to stderr.",
        rich_help_panel=_OUTPUT,
    ),
]

Carry = Annotated[
    bool | None,
    typer.Option(
        "--carry/--independent",
        help="Lines follow each other as in a text, which is how test perplexities are published, or are scored each "
        "by itself.",
        show_default="as the model was trained: training.carry_state",
    ),
]

Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Arithmetic; auto: bf16 where the hardware has it.", rich_help_panel=_COMPUTE),
]

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.", rich_help_panel=_COMPUTE)]

Threads = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="CPU threads; last digits may depend on them.", rich_help_panel=_COMPUTE),
]

Lines = Annotated[int, typer.Option(metavar="N", min=1, help="Lines to write.")]

MaxLength = Annotated[int, typer.Option(metavar="N", min=1, help="Most pieces of a line; then it ends as it is.")]

Prefix = Annotated[
    str,
    typer.Option(metavar="TEXT", help="How each line begins; with --carry, the first.", show_default="nothing"),
]

CarryOn = Annotated[bool, typer.Option("--carry", help="Write one text: each line goes on from those before it.")]

Temperature = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=1e-6,
        max=1e6,
        help="Below 1: closer to the most probable; above: more random.",
        rich_help_panel=_SAMPLE,
    ),
]

TopK = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Draw from so many of the most probable pieces; 0: all.",
        show_default="all",
        rich_help_panel=_SAMPLE,
    ),
]

TopP = Annotated[
    float,
    typer.Option(
        metavar="X",
        max=1.0,
        callback=above_zero,
        help="Draw from the most probable pieces that have this probability together.",
        rich_help_panel=_SAMPLE,
    ),
]

Seed = Annotated[
    int,
    typer.Option(metavar="N", min=0, max=2**63 - 1, help="Seed of the random choice.", rich_help_panel=_SAMPLE),
]
