"""How `nmt run` does the stages of a recipe: each is a command of `nmt`; the plan; and the table at the end."""

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from contextvars import copy_context
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import typer

from nmt.errors import NmtError, UsageError, clock, counted
from nmt.io.limits import share_cores
from nmt_cli.terminal import loading, results, say, status
from nmt_cli.whats_next import IS_STAGE

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.graph.order import StageNode


_WIDTHS: Final = {"stage": 22, "does": None, "": 30, "scores of": None}
"""Characters of the columns that hold words, at most: a table fits 80 columns, in a pipe too."""


def run_nodes(nodes: "Sequence[StageNode]", *, only: str | None, as_json: bool) -> None:
    """Do what is not done, one stage after the other, or one alone; then tell of all in a table on stdout."""
    from nmt.graph.order import with_needs
    from nmt.graph.records import carry_out, look

    undone, looked_at = set[str](), with_needs(nodes, only) if only else nodes
    for number, node in enumerate(nodes, start=1):
        if node not in looked_at:
            continue
        state = look(node, undone)
        if only not in (None, node.name):
            undone |= set() if state.is_done else {node.name}
            continue
        heading = f"{number}/{len(nodes)} {node.does} {node.name}: {node.result}"
        if state.is_done:
            say(f"{heading} is up to date")
        elif waiting := [need.name for need in node.needs if need.name in undone]:
            raise UsageError(f"--stage {node.name}: it needs {' and '.join(waiting)}, which has to be done first")
        else:
            say(f"{heading} ({'; '.join(state.reasons)})")
            carry_out(node, _command)
    show_results(nodes, as_json=as_json)


def _command(arguments: list[str], output: Path | None) -> None:
    """Do a stage; what the command prints goes to a file, or to stderr beside all else that is told of the work."""
    if output is None:
        _run(arguments, sys.stderr)
    else:
        with output.open("w", encoding="utf-8") as file:
            _run(arguments, file)


def _run(arguments: list[str], stdout: TextIO) -> None:
    """Run a command of `nmt` in this process; its failure, which it has told, is that of this command."""
    from typer.main import get_command

    from nmt_cli.main import app

    gc.collect()  # the model of the stage before, before what is there is taken for lasting
    context = copy_context()
    context.run(IS_STAGE.set, True)
    with redirect_stdout(stdout):
        code = context.run(get_command(app).main, arguments, prog_name="nmt", standalone_mode=False)
    if code:
        raise typer.Exit(code)


def show_plan(
    nodes: "Sequence[StageNode]",
    load: "Callable[[Path], Sequence[StageNode]]",
    *,
    only: str | None,
    at_once: int,
    as_json: bool,
) -> None:
    """Tell of each stage, or of one, whether it is done, else why not, and how long it will take; nothing is done.

    Args:
        load: Gives the same stages with results in another folder.
        at_once: Stages that will be done at a time, each with its share of the cores, which this process takes.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share_cores(at_once)[0])
    from nmt.graph.order import time_side_by_side, with_needs

    with loading():
        from nmt.graph.forecast import foretell_stages

    looked_at, plan = with_needs(nodes, only) if only else nodes, list[dict[str, Any]]()
    with status("trying in small what is to do") as show, closing(foretell_stages(looked_at, load, _quietly)) as found:
        for node, state, forecast in found:
            show(f"trying in small what is to do: {node.name}")
            if only in (None, node.name):
                stands = {"done": state.is_done, "reasons": list(state.reasons)}
                plan.append(_named(node) | stands | asdict(forecast))
    if as_json:
        typer.echo(json.dumps(plan, ensure_ascii=False, indent=2))
    else:
        _show_plan(plan)
    if at_once > 1 and not as_json and not only:
        seconds = {one["stage"]: one["seconds"] or 0.0 for one in plan}
        together = time_side_by_side(nodes, seconds, at_once=at_once)
        results.print(f"{at_once} at a time: about {clock(together)}")


def _quietly(arguments: list[str], output: Path | None) -> None:
    """Do a stage as `_command` does, but what it says of its work is kept, and its failure is an error that says it."""
    said = StringIO()
    try:
        with redirect_stderr(said), (output or Path(os.devnull)).open("w", encoding="utf-8") as file:
            _run(arguments, file)
    except typer.Exit as failure:
        raise NmtError(said.getvalue().rpartition("error: ")[2].strip() or "interrupted") from failure


def _show_plan(plan: list[dict[str, Any]]) -> None:
    table = _table("stage", "does", "about", "")
    for one in plan:
        known = one["seconds"] is not None
        time = "" if one["done"] else ("< " if one["at_most"] else "") + clock(one["seconds"]) if known else "?"
        told = filter(None, (_in_short(one["reasons"]) or "done", one["why"]))
        table.add_row(one["stage"], one["do"], time, "; ".join(told))
    if len(plan) > 1:
        total, unknown = sum(one["seconds"] or 0 for one in plan), sum(one["seconds"] is None for one in plan)
        todo = counted(sum(not one["done"] for one in plan), "stage")
        table.add_section()
        table.add_row("all", "", clock(total), f"{todo} to do{f', and {unknown} ?' if unknown else ''}")
    results.print(table, width=80)  # where stages take days too
    if any(one["at_most"] for one in plan):
        results.print("< where training may stop early (training.patience)", soft_wrap=True)


def _in_short(reasons: list[str]) -> str:
    """Name the first stage that is waited for, and the first reason."""
    shown = reasons[0] if reasons else ""
    if shown.startswith("waits for ") and (more := shown.count(", ")):
        shown = f"{shown.partition(', ')[0]} and {more} more"
    return f"{shown}, and {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else shown


def show_results(nodes: "Sequence[StageNode]", *, as_json: bool) -> None:
    """Tell of every stage that is made how long it took and how large its result is; then, how good results are."""
    trees = list(map(_to_tree, nodes))
    if as_json:
        typer.echo(json.dumps(trees, ensure_ascii=False, indent=2))
        return
    table = _table("stage", "does", "time", "size")
    for tree in trees:
        made = tree["seconds"] is not None
        amounts = (clock(tree["seconds"]), _size(tree["bytes"])) if made else ("", "not done")
        table.add_row(tree["stage"], tree["do"], *amounts)
    if len(trees) > 1:
        table.add_section()
        seconds, size = (sum(tree[name] or 0 for tree in trees) for name in ("seconds", "bytes"))
        table.add_row("all", "", clock(seconds), _size(size))
    results.print(table)
    _show_scores([score for tree in trees for score in tree["scores"]])


def _show_scores(found: list[dict[str, Any]]) -> None:
    rows = dict[str, dict[str, float]]()
    for one in found:
        rows.setdefault(one["of"], {})[one["name"]] = one["score"]
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    table = _table("scores of", *names)
    for of, scores in rows.items():
        table.add_row(of, *(f"{scores[name]:.2f}" if name in scores else "" for name in names))
    if rows:
        results.print()
        results.print(table)
    for signature in {f"{one['name']:<5}  {one['signature']}": None for one in found}:
        results.print(signature, soft_wrap=True)


def _size(number: int) -> str:
    return f"{number / 1e6:,.2f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def _to_tree(node: "StageNode") -> dict[str, Any]:
    from nmt.graph.records import read_record, size_of

    record = read_record(node) if node.result.exists() else None
    if record is None or record.digest is None:
        return _named(node) | {"seconds": None, "bytes": None, "scores": []}
    size = size_of(node.result, node.gives)
    return _named(node) | {"seconds": record.seconds, "bytes": size, "scores": list(_scores(node))}


def _named(node: "StageNode") -> dict[str, Any]:
    return {"stage": node.name, "do": node.does, "result": str(node.result)}


def _scores(node: "StageNode") -> Iterator[dict[str, Any]]:
    """Give the scores of translations, or the validation BLEU of a model."""
    if node.gives == "scores":
        files = json.loads(node.result.read_text(encoding="utf-8"))["hypotheses"]
        for file in files:
            of = {"of": Path(file["file"]).stem}
            for one in file["scores"].values():
                yield of | {name: one[name] for name in ("name", "score", "signature")}
    elif node.gives == "weights":
        tuned = json.loads(node.result.read_text(encoding="utf-8"))
        of = {"of": f"{node.name} (validation)", "name": tuned["name"]}
        yield of | {"score": tuned["best"]["score"], "signature": tuned["signature"]}
    elif node.gives == "model":
        from nmt.models.folder import read_training

        found = read_training(node.result)
        if "valid_bleu" in found:
            of = {"of": f"{node.name} (validation)", "name": "BLEU"}
            yield of | {"score": found["valid_bleu"], "signature": found["valid_bleu_signature"]}


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        words = name in _WIDTHS
        table.add_column(name, justify="left" if words else "right", overflow="fold", max_width=_WIDTHS.get(name))
    return table
