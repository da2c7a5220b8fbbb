"""The options of `nmt translate`, in the groups in which its help shows them."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

_SEARCH, _SAMPLE, _WORDS, _TEXT, _OUTPUT, _COMPUTE = (
    "Search",
    "Random translations",
    "Words",
    "Text",
    "Output",
    "Computation",
)
_THE_MODELS: Final = "the model's"

OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Where translations go; - is stdout.", rich_help_panel=_OUTPUT),
]

BeamSizeOption = Annotated[
    int | None,
    typer.Option(
        "--beam",
        metavar="N",
        min=1,
        help="Hypotheses kept at each step; 1 is greedy search.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

NBestOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Above 1: up to so many lines for each input line, as `index ||| text ||| score`, the index from 0.",
        rich_help_panel=_SEARCH,
    ),
]

LengthPenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Exponent of the length normalisation; 0: none.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

CoveragePenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Weight of source words that nothing was read of; 0: none.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

MinLengthRatioOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Fewest pieces of a translation, times those of the source.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

MaxLengthRatioOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        help="Most pieces of a translation, times those of the source, plus ten.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

NoRepeatNgramOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="No run of so many pieces comes twice in a translation; 0: no such rule.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

ShortlistOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Words to choose from for each sentence, which `nmt shortlist` has learnt; 0: all.",
        show_default=_THE_MODELS,
        rich_help_panel=_SEARCH,
    ),
]

SampleOption = Annotated[
    bool, typer.Option("--sample", help="Draw translations at random: `--n-best` of them.", rich_help_panel=_SAMPLE)
]

TemperatureOption = Annotated[
    float | None,
    typer.Option(metavar="X", help="Below 1: nearer to the most probable.", show_default="1", rich_help_panel=_SAMPLE),
]

TopKOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Draw from so many of the most probable words.",
        show_default="all",
        rich_help_panel=_SAMPLE,
    ),
]

TopPOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Draw from the most probable words that have this probability together.",
        show_default="1",
        rich_help_panel=_SAMPLE,
    ),
]

SeedOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Each draws other translations.", show_default="1", rich_help_panel=_SAMPLE),
]

TermsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of `source term <tab> target term`: the targets appear where the sources do.",
        rich_help_panel=_WORDS,
    ),
]

MustOption = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help="Words that every translation contains; repeatable.", rich_help_panel=_WORDS),
]

MustNotOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORDS",
        help="Words that no translation contains, as the model spells them at the start of a word; repeatable.",
        rich_help_panel=_WORDS,
    ),
]

PrefixAfterTabOption = Annotated[
    bool,
    typer.Option(
        "--prefix-after-tab",
        help="Input lines are `source <tab> how the translation begins`.",
        rich_help_panel=_WORDS,
    ),
]

ReplaceUnknownOption = Annotated[
    bool,
    typer.Option(
        "--replace-unknown",
        help="Where the model knows no word, put in the source word it looked at.",
        rich_help_panel=_WORDS,
    ),
]

DictionaryOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of `source word <tab> target word` for --replace-unknown, which this turns on.",
        rich_help_panel=_WORDS,
    ),
]

DocumentOption = Annotated[
    bool,
    typer.Option(
        "--document",
        help="Lines are paragraphs: their sentences are translated one by one and joined again.",
        rich_help_panel=_TEXT,
    ),
]

MarkupOption = Annotated[
    bool,
    typer.Option("--markup", help="Keep tags, {placeholders} and format codes as they are.", rich_help_panel=_TEXT),
]

KeepOption = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="Keep what matches as well; turns on --markup.", rich_help_panel=_TEXT),
]

OutputFormatOption = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--format",
        help="json: an object a line, with scores, pieces and alignments.",
        rich_help_panel=_OUTPUT,
    ),
]

ScoresOption = Annotated[
    bool,
    typer.Option("--scores", help="Put the score and a tab before each translation.", rich_help_panel=_OUTPUT),
]

AlignmentOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write word alignments there, a line for each input line: `0-0 1-2`, source-target, without markup.",
        rich_help_panel=_OUTPUT,
    ),
]

AttentionPlotOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Draw the attention of each line there as a PNG; needs the extra `plot`.",
        rich_help_panel=_OUTPUT,
    ),
]

EnsembleOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL_DIR",
        help="Another model of the same vocabulary to decide with; repeatable.",
        rich_help_panel=_COMPUTE,
    ),
]

PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16", "int8"] | None,
    typer.Option(
        help="Arithmetic; int8 is the fastest on a CPU that has it.",
        show_default=_THE_MODELS,
        rich_help_panel=_COMPUTE,
    ),
]

DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.", rich_help_panel=_COMPUTE)
]

WorkersOption = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Processes; each uses one CPU core.", rich_help_panel=_COMPUTE),
]

BatchTokensOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Sentences x beams x longest source of what is translated at once; no translation depends on it.",
        show_default=_THE_MODELS,
        rich_help_panel=_COMPUTE,
    ),
]
