"""Write docs/reference.md, every command and every setting, as the code has them: `make reference`."""

import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import typer
from typer.core import TyperGroup

from nmt.config.describe import describe_settings, section_texts
from nmt_cli.main import app

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
_HEAD = """# Reference

Every command with its options, and every setting. This page is written from the code by `make reference`. On the
terminal, `nmt COMMAND --help` and `nmt settings NAME` say the same.
"""


def page() -> str:
    """Write the page."""
    return "\n".join([_HEAD, "## Commands", *_commands(typer.main.get_group(app)), "\n## Settings", *_settings()])


def _commands(group: TyperGroup, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        called = f"{path}{name}"
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{called} ")
            continue
        text, _, examples = inspect.cleandoc(command.help or "").partition("\n\n\b\n")
        yield f"\n### nmt {called}\n\n{_escaped(text)}\n"
        context = typer.Context(command, info_name=called)
        records = (parameter.get_help_record(context) for parameter in command.params)
        yield _table(("argument or option", "what it says"), (record for record in records if record))
        yield "\n```\n" + inspect.cleandoc(examples.partition("\n")[2]) + "\n```"


def _settings() -> Iterator[str]:
    texts = section_texts()
    for section, described in groupby(describe_settings(), lambda one: one.name.partition(".")[0]):
        yield f"\n### {section}\n\n{texts[section]}\n"
        rows = [
            (f"`{one.name}`", one.type, f"`{one.default}`", one.text, "; ".join(one.idle_with)) for one in described
        ]
        yield _table(("setting", "type and range", "default", "what it does", "no effect with"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(map(_escaped, row)) for row in rows)]
    lines.insert(1, tuple("---" for _ in lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Keep what Markdown would take for tags and for the borders of cells."""
    plain_and_code = re.split("(`[^`]*`)", text.replace("\\[", "["))
    escaped = (part if part.startswith("`") else part.replace("<", "&lt;") for part in plain_and_code)
    return "".join(escaped).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
