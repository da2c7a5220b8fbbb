"""`nmt noise`: a test text as users would type it."""

from pathlib import Path
from typing import Annotated

import typer

from nmt.errors import UsageError
from nmt.text.noises import NOISES, OF_SOURCE
from nmt_cli.terminal import STREAM, OnBadUtf8Option, file_option, open_output, refuse_replacing


def _check(kinds: list[str]) -> list[str]:
    if unknown := [kind for kind in kinds if kind not in NOISES]:
        raise typer.BadParameter(f"expected one of {', '.join(NOISES)}, found {unknown[0]}")
    return kinds


def noise(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Text, one line each.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="TARGET", help="Its translations: some kinds of noise change both.", show_default=False),
    ] = None,
    output: Annotated[Path, file_option("--output", "-o", help="Where the noised source goes; - is stdout.")] = STREAM,
    tgt_output: Annotated[
        Path | None, file_option("--tgt-output", help="Where the target goes.", show_default=False)
    ] = None,
    kinds: Annotated[
        list[str],
        typer.Option(
            "--kind",
            metavar="KIND",
            callback=_check,
            help=f"Only this noise, repeatable: {', '.join(NOISES)}.",
            show_default="all; without TARGET those of the source",
        ),
    ] = [],  # noqa: B006 (Typer wants a list, and nobody changes it)
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Another one gives other noise.")] = 1,
    on_bad_utf8: OnBadUtf8Option = "error",
) -> None:
    """Noise every line of a text as training.noise does, to see how much worse a model translates it.

    Kinds that change the source alone, such as typos, leave the noised text and the clean one the same reference.

    \b
    Examples:
      nmt noise test.en --kind typos -o typos.en
      nmt noise test.en test.fr -o noised.en --tgt-output noised.fr
    """
    from nmt.io.lines import read_lines, unequal
    from nmt.text.noises import noised_lines

    if (target is None) != (tgt_output is None):
        raise UsageError("TARGET and --tgt-output belong together: give both, or neither")
    both = [kind for kind in kinds if kind not in OF_SOURCE]
    if both and target is None:
        raise UsageError(f"--kind {both[0]} changes the translation too; it needs TARGET and --tgt-output")
    names = kinds or list(NOISES if target else OF_SOURCE)
    refuse_replacing([path for path in (source, target) if path], [path for path in (output, tgt_output) if path])
    src = list(read_lines(source, on_bad_utf8))
    tgt = list(read_lines(target, on_bad_utf8)) if target else [""] * len(src)
    if target and len(src) != len(tgt):
        raise unequal(source, len(src), target, len(tgt))
    pairs = list(noised_lines(src, tgt, names, seed=seed))
    for path, side in ((output, 0), (tgt_output, 1)):
        if path:
            with open_output(path) as file:
                file.writelines(f"{pair[side]}\n".encode() for pair in pairs)
