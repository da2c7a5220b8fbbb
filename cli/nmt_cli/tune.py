"""`nmt tune`: the length penalty, and the weights of other models, that translate a validation set best."""

import json
import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nmt.errors import counted
from nmt_cli.other_models import (
    LanguageModelOption,
    OtherModels,
    RescoringOption,
    ReverseModelOption,
    RightToLeftOption,
)
from nmt_cli.terminal import (
    STREAM,
    DeviceOption,
    EnsembleOption,
    ModelDir,
    OnBadUtf8Option,
    TagOption,
    file_option,
    loading,
    progress,
    refuse_replacing,
    results,
    say,
    setting,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nmt.metrics import Score
    from nmt.translate.flow import OnLines
    from nmt.tuning import Plan, Point, Tried


def tune(
    model_dir: ModelDir,
    src: Annotated[Path, file_option(help="Source of a validation set, one sentence per line.")],
    tgt: Annotated[Path, file_option(help="Reference translations, line by line.")],
    lm: LanguageModelOption = None,
    lm_rescore: RescoringOption = False,
    lm_weight: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Only this weight.", show_default="tuned")
    ] = None,
    right_to_left: RightToLeftOption = None,
    rescore_weight: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Only this weight.", show_default="tuned")
    ] = None,
    reverse_model: ReverseModelOption = None,
    reverse_weight: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Only this weight.", show_default="tuned")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Only this penalty.", show_default="tuned")
    ] = None,
    metric: Annotated[Literal["bleu", "chrf"], typer.Option(help="The score to maximise.")] = "bleu",
    output: Annotated[Path | None, file_option("--output", "-o", help="Write the table there too, as JSON.")] = None,
    beam_size: Annotated[int | None, setting("beam_size")] = None,
    tag: TagOption = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    ensemble: EnsembleOption = None,
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")] = None,
    device: DeviceOption = "auto",
    batch_tokens: Annotated[int | None, setting("batch_tokens")] = None,
) -> None:
    """Find the length penalty, and the weights of other models, that translate a validation set best.

    A grid of values is tried, then what lies around its best, twice; the weights of models that rescore are tried one
    after the other. The text is translated anew for every point. The line before the last compares the best with what
    is used without tuning, and without the other models: the smaller p, the more significant. As the best was chosen on
    the same text, only a p well below 0.05 is evidence. The last line has the options for `nmt translate`. Without
    another model the length penalty alone is tuned.

    \b
    Examples:
      nmt tune models/en-fr --src valid.en --tgt valid.fr --lm models/lm-fr
      nmt tune models/en-fr --src valid.en --tgt valid.fr --reverse-model fr-en
      nmt tune models/en-fr --src valid.en --tgt valid.fr
    """
    if output == STREAM:
        raise typer.BadParameter("expected a file, since the table goes to stdout", param_hint="--output")

    with loading():
        from nmt.io.files import written
        from nmt.translate import Options, Translator
        from nmt.tuning import Validation, best_of, plan_for

    beside = OtherModels(lm, right_to_left, reverse_model)
    given = {"lm_weight": lm_weight, "rescore_weight": rescore_weight, "reverse_weight": reverse_weight}
    beside.check(model_dir, {**given, "lm_rescore": lm_rescore or None})
    refuse_replacing([src, tgt], [output] if output else [])
    plan = plan_for({"length_penalty": length_penalty, **{name: given[name] for name in beside.weights}})
    validation = Validation.read(src, tgt, metric, on_bad_utf8)
    search = {"beam_size": beam_size, "batch_tokens": batch_tokens}
    options = Options.model_validate({**search, "lm_rescore": lm_rescore, "tag": tag})
    with status("loading the model"):
        translator = Translator.load(
            model_dir, *(ensemble or ()), device=device, precision=precision, **beside.arguments
        )
    plan = plan.with_usual(translator.settings.search.length_penalty)
    # A model that does not fit is refused now, not after the points that leave it out.
    translator.flow(options.model_copy(update=dict.fromkeys(beside.weights, 1.0)))
    start = time.monotonic()
    with written(output) if output else nullcontext() as file:  # opened before the work, not after it
        texts: dict[Point, list[str]] = {}
        tried = _try_all(validation.trying(translator, options, texts), plan, lines=len(validation.src))
        best = best_of(tried, plan.usual_penalty)
        usual = next(one for one in tried if one.point == plan.usual)
        p_value = validation.p_value(texts[usual.point], texts[best.point], translator.settings)
        if file is not None:
            file.write(_as_json(tried, best, usual, p_value))
    work = f"{counted(len(tried), 'point')}, each a translation of {counted(len(validation.src), 'line')}"
    say(f"{work}: {time.monotonic() - start:.0f} s")
    results.print(f"best: {best.score.name} {best.score.score:.2f}  {best.score.signature}", soft_wrap=True)
    results.print(_compare(best, usual, p_value, plan), soft_wrap=True)
    alike = {"--tag": tag, "--ensemble": ensemble, "--beam": beam_size, "--precision": precision}
    results.print(_as_options(best.point, beside.weights, rescoring=lm_rescore, alike=alike), soft_wrap=True)


def _try_all(score_of: "Callable[[Point, OnLines], Score]", plan: "Plan", *, lines: int) -> "list[Tried]":
    """Try the points of a plan, each a translation of so many lines, and print each as it is known."""
    from nmt.tuning import try_points

    tried: list[Tried] = []
    shown = _shown(plan)
    with progress() as bar:
        task = bar.add_task("tuning", total=plan.most * lines)

        def on_lines(count: int, _: int) -> None:
            bar.update(task, completed=len(tried) * lines + count)

        for one in try_points(lambda point: score_of(point, on_lines), plan):
            if not tried:
                results.print("  ".join([*map(_words, shown), f"{one.score.name:>6}"]))
            tried.append(one)
            values = [f"{getattr(one.point, name):>{len(name)}.4g}" for name in shown]
            results.print("  ".join([*values, f"{one.score.score:>6.2f}"]))
    return tried


def _shown(plan: "Plan") -> list[str]:
    """Name the weights that are told: those of models that rescore only where there are such."""
    rescoring = [name for name in ("rescore_weight", "reverse_weight") if plan.axis(name).values != (0.0,)]
    return ["lm_weight", "length_penalty", *rescoring]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _as_options(
    point: "Point", models: "Mapping[str, tuple[str, Path]]", *, rescoring: bool, alike: "Mapping[str, object]"
) -> str:
    """Write the options of `nmt translate`: what was found, and `alike`, those that it was found with."""
    parts = list[str]()
    for name, (option, path) in models.items():
        parts += [option, str(path), f"--{name.replace('_', '-')}", f"{getattr(point, name):.4g}"]
    parts += ["--lm-rescore"] if rescoring else []
    parts += ["--length-penalty", f"{point.length_penalty:.4g}"]
    for name, given in alike.items():
        values = given if isinstance(given, list) else [] if given is None else [given]
        parts += [part for value in values for part in (name, str(value))]
    return shlex.join(parts)


def _compare(best: "Tried", usual: "Tried", p_value: float, plan: "Plan") -> str:
    """Say how much better the best point is than what is used without tuning, and whether that may be chance."""
    if best.point == usual.point:
        return "that is what is used without tuning: nothing that was tried is better"
    weights = ", ".join(f"{_words(name)} {getattr(usual.point, name):.4g}" for name in _shown(plan))
    chance = ", so it may be chance" if p_value >= 0.05 else ""  # the usual bound
    return (
        f"without tuning: {usual.score.score:.2f} ({weights}); the difference of "
        f"{best.score.score - usual.score.score:.2f} has p = {p_value:.4f} (paired bootstrap){chance}"
    )


def _as_json(tried: "list[Tried]", best: "Tried", usual: "Tried", p_value: float) -> bytes:
    score = best.score
    table: dict[str, Any] = {"metric": score.metric, "name": score.name, "signature": score.signature}
    table["points"] = [_to_json(one) for one in tried]
    table |= {"best": _to_json(best), "usual": _to_json(usual), "p_value": p_value}
    return (json.dumps(table, indent=2) + "\n").encode()


def _to_json(one: "Tried") -> dict[str, float]:
    return {**one.point._asdict(), "score": one.score.score}
