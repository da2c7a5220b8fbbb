"""`nmt adapt`: a model that has learnt from corrections."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmt.errors import counted
from nmt_cli.terminal import ModelDir, OnBadUtf8Option, loading, results, say, status
from nmt_cli.whats_next import say_lexicon, say_next

if TYPE_CHECKING:
    from nmt.training.adapting import Adaptation


def adapt(
    model_dir: ModelDir,
    corrections: Annotated[
        Path, typer.Argument(metavar="CORRECTIONS", help="Lines of source <tab> corrected translation.")
    ],
    out_dir: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT_DIR", help="Folder for the new model; new or empty.")
    ],
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DATA_DIR",
            help="What `nmt prepare` made of the training text, or of other text with the model's tokenizer: pairs "
            "like the corrections are learnt beside them, and validation pairs guard the rest.",
        ),
    ],
    on_bad_utf8: OnBadUtf8Option = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Write a model that has learnt from corrections of its translations, in seconds.

    A correction of a word or two is taken for a rule: other sentences follow. A word that the tokenizer cuts into
    several pieces becomes a piece of its own. MODEL_DIR stays as it is; delete OUT_DIR to undo what was learnt.

    \b
    Examples:
      nmt adapt models/en-de corrections.tsv --data data/en-de -o models/corrected
      nmt adapt models/en-de corrections.tsv --data data/en-de \\
          -o models/corrected --json > learnt.json
    """
    with loading():
        from nmt.prepared import PreparedData
        from nmt.training.adapting import adapt_model, read_corrections
        from nmt.training.lessons import RULE

    pairs = read_corrections(corrections, on_bad_utf8)
    data = PreparedData.open(data_dir)
    say(f"{counted(len(pairs), 'correction')}, learnt together {RULE}")
    with status("learning"):
        done = adapt_model(model_dir, out_dir, pairs, data=data)
    say_lexicon(model_dir, out_dir, shlex.quote(str(data_dir)))
    if as_json:
        typer.echo(json.dumps(_to_json(done), indent=2, ensure_ascii=False))
        return
    for one in done.corrections:
        expected = "" if one.after == one.target else f"; expected: {one.target}"
        ending = f" (not learnt, as {one.reason}{expected})" if one.reason else ""
        results.print(f"{one.before} -> {one.after}{ending}", markup=False, soft_wrap=True)
    if done.new_pieces:
        results.print(f"{counted(len(done.new_pieces), 'new piece')}: {' '.join(done.new_pieces)}", soft_wrap=True)
    learnt = sum(one.learnt for one in done.corrections)
    results.print(f"learnt: {learnt} of {len(done.corrections)}", soft_wrap=True)
    guard = done.guard
    loss = f"loss {guard.before.loss:.4f} -> {guard.after.loss:.4f}"
    bleu = f"BLEU {guard.before.bleu:.2f} -> {guard.after.bleu:.2f}"
    results.print(f"{counted(guard.pairs, 'validation pair')} without these words: {loss}, {bleu}", soft_wrap=True)
    say_next(f"nmt translate {shlex.quote(str(out_dir))} FILE")


def _to_json(done: "Adaptation") -> dict[str, Any]:
    guard = done.guard
    scores = {
        name: {"loss": one.loss, "bleu": one.bleu} for name, one in (("before", guard.before), ("after", guard.after))
    }
    return {
        "corrections": [asdict(one) for one in done.corrections],
        "new_pieces": done.new_pieces,
        "guard": {"pairs": guard.pairs, **scores},
    }
