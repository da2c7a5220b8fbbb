"""The options of `nmt translate` that are about its search, in the groups in which its help shows them."""

from typing import Annotated, Final

import typer

from nmt_cli.options import above_zero

_SEARCH, _SAMPLE = "Search", "Random translations"
_THE_MODELS: Final = "the model's"

BeamSize = Annotated[
    int | None,
    typer.Option(
        "--beam",
        metavar="N",
        min=1,
        max=1000,
        help="Hypotheses kept at each step; 1 is greedy search.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

NBest = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        max=1000,
        help="Above 1: up to so many lines for each input line, as Moses writes them: `line ||| text ||| score`, the "
        "first line being 0 (in JSON and in pictures, 1).",
        rich_help_panel=_SEARCH,
    ),
]

LengthPenalty = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Exponent of the length normalisation; 0: none.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

CoveragePenalty = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Weight of the penalty for source pieces that the attention has left unread; 0: none.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

MinLengthRatio = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Fewest pieces of a translation: this times those of the source.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

MaxLengthRatio = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        max=100.0,
        callback=above_zero,
        help="Most pieces of a translation: this times those of the source, plus ten.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

NoRepeatNgram = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="No run of so many pieces comes twice in a translation; 0: no such rule.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

Shortlist = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Pieces to choose from for each sentence, a multiple of 16; `nmt shortlist` learns which; 0: all.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

Sample = Annotated[
    bool, typer.Option("--sample", help="Draw translations at random: `--n-best` of them.", rich_help_panel=_SAMPLE)
]

Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=1e-6,
        max=1e6,
        help="Below 1: closer to the most probable; above: more random.",
        show_default="1",
        rich_help_panel=_SAMPLE,
    ),
]

TopK = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Draw from so many of the most probable pieces; 0: all.",
        show_default="all",
        rich_help_panel=_SAMPLE,
    ),
]

TopP = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        max=1.0,
        callback=above_zero,
        help="Draw from the most probable pieces that have this probability together.",
        show_default="1",
        rich_help_panel=_SAMPLE,
    ),
]

Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=2**63 - 1,
        help="Seed of the random choice.",
        show_default="1",
        rich_help_panel=_SAMPLE,
    ),
]
