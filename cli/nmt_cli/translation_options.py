"""The options of `nmt translate`, but those of its search, in the groups in which its help shows them."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

_WORDS, _TEXT, _OUTPUT, _COMPUTE = "Words", "Text", "Output", "Computation"
_THE_MODELS: Final = "the model's"

Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Where translations go; - is stdout.", rich_help_panel=_OUTPUT),
]

Terms = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of `source term <tab> target term`: the targets appear where the sources do.",
        rich_help_panel=_WORDS,
    ),
]

Must = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help="Words that every translation contains; repeatable.", rich_help_panel=_WORDS),
]

MustNot = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORDS",
        help="Words that no translation contains, just as written; forms that only begin so may come; repeatable.",
        rich_help_panel=_WORDS,
    ),
]

PrefixAfterTab = Annotated[
    bool,
    typer.Option(
        "--prefix-after-tab", help="Input lines are `source <tab> how the translation begins`.", rich_help_panel=_WORDS
    ),
]

ReplaceUnknown = Annotated[
    bool,
    typer.Option(
        "--replace-unknown",
        help="UNK replacement: where a model of words says <unk>, put in the source word that it attends to most.",
        rich_help_panel=_WORDS,
    ),
]

Dictionary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of `source word <tab> target word` for --replace-unknown, which this turns on, and for what is "
        "carried over.",
        rich_help_panel=_WORDS,
    ),
]

CarryUnknown = Annotated[
    bool | None,
    typer.Option(
        "--carry-unknown/--no-carry-unknown",
        help="Emoji and words in characters that the vocabulary lacks come out as they went in; a line of nothing else "
        "is left as it is.",
        show_default="the model's",
        rich_help_panel=_TEXT,
    ),
]

Document = Annotated[
    bool,
    typer.Option(
        "--document",
        help="Lines are paragraphs: their sentences are translated one by one and joined again.",
        rich_help_panel=_TEXT,
    ),
]

Markup = Annotated[
    bool,
    typer.Option(
        "--markup",
        help="Keep tags, scripts, styles, code, {placeholders} and format codes as they are, over line ends too.",
        rich_help_panel=_TEXT,
    ),
]

Tag = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="Piece such as <news> put before each sentence, which the model knows as the tag of a corpus.",
        rich_help_panel=_TEXT,
    ),
]

Keep = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="Keep what matches as well; turns on --markup.", rich_help_panel=_TEXT),
]

OutputFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--format", help="json: an object a line, with scores, pieces and alignments.", rich_help_panel=_OUTPUT
    ),
]

Scores = Annotated[
    bool,
    typer.Option(
        "--scores",
        help="Put the score and a tab before each translation; n-best lists and JSON have scores anyway.",
        rich_help_panel=_OUTPUT,
    ),
]

Alignment = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write word alignments there, a line for each input line: `0-0 1-2`, source-target, without markup.",
        rich_help_panel=_OUTPUT,
    ),
]

AttentionPlot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Draw the attention of each line there as a PNG; needs the extra `plot`.",
        rich_help_panel=_OUTPUT,
    ),
]

Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL_DIR",
        help="Another model to translate with (an ensemble); it has the same tokenizers; repeatable.",
        rich_help_panel=_COMPUTE,
    ),
]

Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"] | None,
    typer.Option(
        help="Arithmetic; int8 is the fastest on a CPU that has it.", show_default=_THE_MODELS, rich_help_panel=_COMPUTE
    ),
]

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.", rich_help_panel=_COMPUTE)]

Workers = Annotated[
    int, typer.Option(metavar="N", min=1, help="Processes; each uses one CPU core.", rich_help_panel=_COMPUTE)
]

BatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Sentences x beams x longest source of what is translated at once; no translation depends on it.",
        show_default=_THE_MODELS,
        rich_help_panel=_COMPUTE,
    ),
]
