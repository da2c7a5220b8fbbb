"""`nmt shortlist`: a lexicon for a model, with which a translation's pieces are chosen from a few hundred."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from nmt.errors import counted
from nmt_cli.terminal import ModelDir, count_option, counting, loading, results


def shortlist(
    model_dir: ModelDir,
    data_dir: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="The data that it was trained on.")],
    size: Annotated[
        int | None, count_option(help="Translations kept of each source piece.", show_default="100")
    ] = None,
    pairs: Annotated[int | None, count_option(help="Training pairs read at most.", show_default="200000")] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT_DIR",
            help="Leave the model as it is, and put the table into a copy of it; new or empty.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Learn from a model's attention which pieces translate which, and put the table into its folder.

    With it, translation chooses its pieces from a shortlist that fits the sentence instead of the whole vocabulary,
    which is faster. How much of the validation references such shortlists hold is printed.

    \b
    Examples:
      nmt shortlist models/en-fr data/en-fr
      nmt shortlist models/en-fr data/en-fr --pairs 50000
      nmt shortlist models/en-fr data/en-fr --output models/en-fr-quick
    """
    with loading():
        from nmt.models.folder import copied
        from nmt.prepared import PreparedData
        from nmt.shortlist.learn import PAIRS, SIZE, add_lexicon

    data = PreparedData.open(data_dir)
    with (
        nullcontext(model_dir) if out_dir is None else copied(model_dir, out_dir) as folder,
        counting("reading pairs") as show,
    ):
        learnt = add_lexicon(folder, data, size=size or SIZE, max_pairs=pairs or PAIRS, on_progress=show)
    results.print(
        f"learnt from {counted(learnt.pairs, 'pair')}: translations of {counted(learnt.translated, 'source piece')}"
    )
    for count, share in learnt.coverage.items():
        results.print(f"a shortlist of {count:>4} holds {share:.2%} of the validation references' pieces")
