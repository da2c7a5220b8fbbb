"""How `nmt run` does the stages of a recipe: each is a command of `nmt`; the plan; and the table at the end."""

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from nmt.errors import UsageError, clock
from nmt_cli.terminal import loading, results, say, status

if TYPE_CHECKING:
    from rich.table import Table

    from nmt.graph.order import StageNode
    from nmt.graph.records import State


def run_nodes(nodes: "Sequence[StageNode]", *, only: str | None, as_json: bool) -> None:
    """Do what is not done, one stage after the other, or one alone; then tell of all in a table on stdout."""
    from nmt.graph.records import carry_out, look

    undone = set[str]()
    for number, node in enumerate(nodes, start=1):
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
        if only is not None:
            break
    if as_json:
        typer.echo(json.dumps([_to_tree(node) for node in nodes], ensure_ascii=False, indent=2))
    else:
        _show_results(nodes)


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
    with redirect_stdout(stdout):
        code = get_command(app).main(arguments, prog_name="nmt", standalone_mode=False)
    if code:
        raise typer.Exit(code)


def show_plan(nodes: "Sequence[StageNode]", *, only: str | None, as_json: bool) -> None:
    """Tell of each stage, or of one, whether it is done, else why not, and how long it will take; nothing is done."""
    from nmt.graph.records import look

    undone, plan = set[str](), list[dict[str, Any]]()
    for node in nodes:
        state = look(node, undone)
        if not state.is_done:
            undone.add(node.name)
        if only in (None, node.name):
            seconds, why = (None, "") if state.is_done else _foretell(node, state, undone)
            plan.append(
                {
                    **{"stage": node.name, "do": node.does, "result": str(node.result), "done": state.is_done},
                    **{"reasons": list(state.reasons), "seconds": seconds, "time_unknown": why},
                }
            )
    if as_json:
        typer.echo(json.dumps(plan, ensure_ascii=False, indent=2))
        return
    table = _table("stage", "does", "", "time")
    for one in plan:
        time = one["time_unknown"] if one["seconds"] is None else clock(one["seconds"])
        table.add_row(one["stage"], one["do"], "; ".join(one["reasons"]) or "done", time)
    results.print(table)


def _foretell(node: "StageNode", state: "State", undone: set[str]) -> tuple[float | None, str]:
    """Return the seconds that a stage will take, or None and why nobody knows."""
    if any(need.name in undone for need in node.needs):
        return None, "unknown before"
    if node.does == "train":
        return _foretell_training(node)
    if node.does == "translate":
        with loading():
            from nmt.graph.forecast import foretell_translation
            from nmt.graph.stage_kinds import TranslateStage

        assert isinstance(node.stage, TranslateStage)
        with status("timing some lines"):
            return foretell_translation(node.stage, node.given), ""
    if state.record and state.record.digest:
        return None, f"unknown; {clock(state.record.seconds)} the last time"
    return None, "unknown: nothing of it can be timed beforehand"


def _foretell_training(node: "StageNode") -> tuple[float | None, str]:
    from tempfile import TemporaryDirectory

    from nmt.config.load import to_recipe
    from nmt.graph.records import made_from, place_of

    printed = StringIO()
    with TemporaryDirectory() as folder:
        recipe = Path(folder) / f"{node.name}.toml"
        recipe.write_text(to_recipe(node.settings, node.stage.sections), encoding="utf-8")
        output = place_of(node, made_from(node))
        _run([*node.stage.command(node.given, output, recipe), "--dry-run", "--json"], printed)
    found = json.loads(printed.getvalue())
    return found.get("seconds", 0.0), ""


def _show_results(nodes: "Sequence[StageNode]") -> None:
    """Tell of every stage that is made how long it took, how large its result is, and how good."""
    table, signatures = _table("stage", "does", "seconds", "size", "scores"), dict[str, None]()
    for tree in map(_to_tree, nodes):
        scores = dict[str, list[str]]()
        for one in tree["scores"]:
            scores.setdefault(one["of"], []).append(f"{one['name']} {one['score']:.2f}")
        signatures |= {f"{one['name']:<5}  {one['signature']}": None for one in tree["scores"]}
        made = tree["seconds"] is not None
        amounts = (f"{tree['seconds']:,.1f}", f"{tree['bytes'] / 1e6:,.2f} MB") if made else ("", "not done")
        table.add_row(
            tree["stage"], tree["do"], *amounts, "\n".join(f"{of}: {', '.join(found)}" for of, found in scores.items())
        )
    results.print(table)
    for signature in signatures:
        results.print(signature, soft_wrap=True)


def _to_tree(node: "StageNode") -> dict[str, Any]:
    from nmt.graph.records import read_record, size_of

    record = read_record(node) if node.result.exists() else None
    if record and record.digest is None:
        record = None
    return {
        **{"stage": node.name, "do": node.does, "result": str(node.result)},
        "seconds": record and record.seconds,
        "bytes": record and size_of(node.result, node.stage.gives),
        "scores": list(_scores(node)) if record else [],
    }


def _scores(node: "StageNode") -> Iterator[dict[str, Any]]:
    """Give the scores of translations, or the validation BLEU of a model."""
    if node.stage.gives == "scores":
        files = json.loads(node.result.read_text(encoding="utf-8"))["hypotheses"]
        for file in files:
            of = {"of": Path(file["file"]).stem}
            for one in file["scores"].values():
                yield of | {name: one[name] for name in ("name", "score", "signature")}
    elif node.stage.gives == "model":
        from nmt.models.folder import read_training

        found = read_training(node.result)
        if "valid_bleu" in found:
            signature = found["valid_bleu_signature"]
            yield {"of": "validation", "name": "BLEU", "score": found["valid_bleu"], "signature": signature}


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in ("seconds", "size") else "left", overflow="fold")
    return table
