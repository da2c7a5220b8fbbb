"""`nmt score`: BLEU, chrF and TER of translations, each with its signature."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import typer

from nmt.config.training import BleuTokenizer
from nmt.errors import UsageError, counted
from nmt_cli.terminal import OnBadUtf8Option, file_option, loading, refuse_without, results, status, warn

if TYPE_CHECKING:
    from nmt.metrics import FileScores, Score, Spread

_MANY: Final = 100

Metric = StrEnum("Metric", {"BLEU": "bleu", "CHRF": "chrf", "TER": "ter"})  # Typer takes no list of literals


def score(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Reference translations, one per line.")],
    hypotheses: Annotated[
        list[Path], typer.Argument(metavar="HYPOTHESIS", help="Files of translations to score, one per line.")
    ],
    references: Annotated[
        list[Path], file_option("--reference", help="Further reference translations; repeatable.", show_default=False)
    ] = [],  # noqa: B006 (Typer wants a list, and nobody changes it)
    metrics: Annotated[
        list[Metric], typer.Option("--metric", help="Only this score; repeatable.", show_default="all three")
    ] = [],  # noqa: B006 (Typer wants a list, and nobody changes it)
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Ignore case (TER always does).")] = False,
    tokenize: Annotated[
        BleuTokenizer, typer.Option(metavar="NAME", help=f"Tokenizer of BLEU: {', '.join(get_args(BleuTokenizer))}.")
    ] = "13a",
    protocol: Annotated[
        Literal["lc-norm-tok"] | None,
        typer.Option(
            help="Add the BLEU of older papers, as multi-bleu.perl -lc gives it after Moses' scripts: both sides "
            "lower-cased, punctuation normalised, tokenized. Needs --tgt-lang and the extra `moses`."
        ),
    ] = None,
    tgt_lang: Annotated[
        str | None, typer.Option(metavar="CODE", help="Language of the translations, for --protocol.")
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Add 95 % intervals from 1000 bootstrap resamples.")
    ] = False,
    paired: Annotated[
        bool, typer.Option("--paired", help="Test each file against the first: paired bootstrap, two-sided.")
    ] = False,
    mean: Annotated[
        bool, typer.Option("--mean", help="Add mean and standard deviation of the files, as runs of several seeds.")
    ] = False,
    on_bad_utf8: OnBadUtf8Option = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score translations against a reference: BLEU, chrF, TER, each with sacrebleu's signature.

    All files are detokenized text, for --protocol too.

    \b
    Examples:
      nmt score test.fr output.fr
      nmt score --metric bleu --json test.fr output.fr
      nmt score --reference second.fr test.fr output.fr
      nmt score --paired test.fr baseline.fr output.fr
      nmt score --mean test.fr seed1.fr seed2.fr seed3.fr
      nmt score --protocol lc-norm-tok --tgt-lang de test.de output.de
    """
    with loading("sacrebleu"):
        from nmt.metrics import METRICS, ScoreOptions, better_tokenizer, compare_files, score_files, spread_of

    if mean and paired:
        raise UsageError("--paired compares with the first file, --mean is of runs of one system: expected one of both")
    if mean and len(hypotheses) < 2:
        raise UsageError(f"--mean is that of two files of translations or more, found {len(hypotheses)}")
    refuse_without("--protocol", {} if protocol else {"tgt_lang": tgt_lang}, what="a protocol")
    chosen = (*(name for name in METRICS if not metrics or name in metrics), *([protocol] if protocol else []))
    scoring = ScoreOptions(
        metrics=chosen, lowercase=lowercase, tokenizer=tokenize, tgt_lang=tgt_lang, confidence=confidence
    )
    with status("comparing" if paired else "scoring"):
        scored = (compare_files if paired else score_files)(
            reference, hypotheses, scoring, more=references, on_bad_utf8=on_bad_utf8
        )
    if better := better_tokenizer(reference, scoring):
        warn(f"{reference} has no spaces between words, which --tokenize 13a looks for; try --tokenize {better}")
    for file in scored:
        if file.tokenized_lines >= _MANY and (protocol or ("bleu" in chosen and tokenize != "none")):
            warn(
                f"{counted(file.tokenized_lines, 'line')} of {file.hypothesis} end in ' .', as tokenized text does; "
                "BLEU compares with that of others only where text is detokenized"
            )
    _warn_of_case([] if lowercase else scored, reference)
    spreads = spread_of(scored) if mean else []
    if as_json:
        typer.echo(json.dumps(_to_json(reference, scored, spreads), indent=2, ensure_ascii=False))
        return
    more = f" and {len(references):,} more" if references else ""
    _show(f"against {reference}{more}", scored, spreads)


def _warn_of_case(scored: "list[FileScores]", reference: Path) -> None:
    for file in scored:
        small, other = file.hypothesis, reference
        if file.without_capitals == "reference":
            small, other = other, small
        if file.without_capitals and any(one.metric in ("bleu", "chrf") for one in file.scores):
            warn(
                f"{small} has small letters only, {other} capitals too, and case counts; to compare text of a "
                "lower-cased model, use --lowercase"
            )


def _show(title: str, scored: "list[FileScores]", spreads: "list[Spread]") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, overflow="fold")
    for one in scored[0].scores:
        table.add_column(one.name, justify="right", no_wrap=True)
    for file in scored:
        table.add_row(str(file.hypothesis), *(_cell(one) for one in file.scores))
    if spreads:
        table.add_row("mean", *(f"{spread.mean:.2f}" for spread in spreads))
        table.add_row("standard deviation", *(f"{spread.deviation:.2f}" for spread in spreads))
    results.print(table)
    width = max(5, *(len(one.name) for one in scored[0].scores))
    for one in scored[0].scores:
        results.print(f"{one.name:<{width}}  {one.signature}", soft_wrap=True)


def _cell(score: "Score") -> str:
    interval = "" if score.confidence is None else f" ± {score.confidence.half_width:.2f}"
    return f"{score.score:.2f}{interval}" + ("" if score.p_value is None else f" (p = {score.p_value:.4f})")


def _to_json(reference: Path, scored: "list[FileScores]", spreads: "list[Spread]") -> dict[str, Any]:
    hypotheses = []
    for file in scored:
        found = {
            one.metric: {key: value for key, value in asdict(one).items() if value is not None and key != "metric"}
            for one in file.scores
        }
        hypotheses.append({"file": str(file.hypothesis), "scores": found})
    tree: dict[str, Any] = {"reference": str(reference), "lines": scored[0].lines, "hypotheses": hypotheses}
    if spreads:
        tree["spread"] = {one.metric: spread._asdict() for one, spread in zip(scored[0].scores, spreads, strict=True)}
    return tree
