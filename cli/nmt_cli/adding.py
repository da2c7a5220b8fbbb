"""How commands join the command line."""

import inspect
from collections.abc import Callable

import typer


def add_command(app: typer.Typer, command: Callable[..., None], *, name: str | None = None) -> None:
    """Add a command whose help fills the lines of the terminal, wherever those of its docstring end.

    Examples, which a line with a backspace begins, stay as they are.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = (text if text.startswith("\b") else " ".join(text.splitlines()) for text in paragraphs)
    app.command(name, help="\n\n".join(flowing))(command)
