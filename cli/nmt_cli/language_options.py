"""The options of commands that translate with a language model."""

from pathlib import Path
from typing import Annotated, Final

import typer

_LANGUAGE: Final = "Language model"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--lm",
        metavar="LM_DIR",
        help="Language model that is asked at each step too (shallow fusion); it has the model's tokenizer.",
        rich_help_panel=_LANGUAGE,
    ),
]

Weight = Annotated[
    float | None,
    typer.Option(
        "--lm-weight",
        metavar="X",
        min=0.0,
        help="Weight of its log-probabilities, which `nmt tune` finds; 0: none.",
        show_default="the model's",
        rich_help_panel=_LANGUAGE,
    ),
]

Rescoring = Annotated[
    bool,
    typer.Option(
        "--lm-rescore",
        help="It only reorders the finished hypotheses of the beam, and may have a tokenizer of its own.",
        rich_help_panel=_LANGUAGE,
    ),
]


def check_options(lm: Path | None, *, weight: float | None, rescoring: bool) -> None:
    """Refuse what is said about a language model where there is none.

    Raises:
        UsageError: Such an option is given.
    """
    from nmt.errors import UsageError

    for name, given in (("--lm-weight", weight is not None), ("--lm-rescore", rescoring)):
        if given and lm is None:
            raise UsageError(f"{name} is about a language model; it needs --lm")
