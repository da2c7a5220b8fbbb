"""The options of a search, made from its settings: their types, ranges and words are those of `SearchSettings`."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from nmt.config.search import SearchSettings
from nmt_cli.options import above_zero

_SCHEMA: Final = SearchSettings.model_json_schema()["properties"]
_METAVARS: Final = {"integer": "N", "number": "X"}


class _Place(NamedTuple):
    """Where the help of `nmt translate` shows an option."""

    after: str = "n_best"
    panel: str = "Search"
    name: str = ""


_PLACES: Final = {
    "beam_size": _Place("output", name="--beam"),
    "lm_weight": _Place("lm", "Language model"),
    "carry_unknown": _Place("dictionary", "Text"),
    "zero_digit": _Place("dictionary", "Text"),
    "precision": _Place("ensemble", "Computation"),
    "batch_tokens": _Place("workers", "Computation"),
}
"""Settings whose options do not stand, in the order of the settings, among the others of the search."""


def setting(name: str) -> Any:
    """Make the option of a setting of the search; where it is not given, the value is the model's."""
    schema, place = _SCHEMA[name], _PLACES.get(name, _Place())
    return typer.Option(
        *([place.name] if place.name else []),
        metavar=_METAVARS.get(schema.get("type", "")),
        min=schema.get("minimum"),
        max=schema.get("maximum"),
        callback=above_zero if schema.get("exclusiveMinimum") == 0 else None,
        help=" ".join(schema["description"].split()),
        show_default="the model's",
        rich_help_panel=place.panel,
    )


def with_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting of the search that it does not name itself.

    Those that are given are its argument `search`.
    """
    signature = inspect.signature(command, eval_str=True)
    own = {name: parameter for name, parameter in signature.parameters.items() if name != "search"}
    made = [name for name in SearchSettings.model_fields if name not in own]
    parameters = list(own.values())
    for name in reversed(made):
        kind: Any = SearchSettings.model_fields[name].annotation
        option: Any = Annotated[kind | None, setting(name)]
        parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        place = _PLACES.get(name, _Place()).after
        parameters.insert([one.name for one in parameters].index(place) + 1, parameter)

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: value for name in made if (value := values.pop(name)) is not None}
        command(**values, search=given)

    ordered = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    run.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    return run


Folder = Annotated[
    Path | None,
    typer.Option(
        "--lm",
        metavar="LM_DIR",
        help="Language model that is asked at each step too (shallow fusion); it has the model's tokenizer.",
        rich_help_panel="Language model",
    ),
]

Rescoring = Annotated[
    bool,
    typer.Option(
        "--lm-rescore",
        help="It only reorders the finished hypotheses of the beam, and may have a tokenizer of its own.",
        rich_help_panel="Language model",
    ),
]

Tag = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="Piece such as <news> put before each sentence, which the model knows as the tag of a corpus.",
        rich_help_panel="Text",
    ),
]

Ensemble = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="MODEL_DIR",
        help="Another model to translate with (an ensemble); it has the same tokenizers; repeatable.",
        rich_help_panel="Computation",
    ),
]


def check_options(lm: Path | None, *, weight: float | None, rescoring: bool) -> None:
    """Refuse what is said about a language model where there is none.

    Raises:
        UsageError: Such an option is given.
    """
    from nmt.errors import UsageError

    for name, given in (("--lm-weight", weight is not None), ("--lm-rescore", rescoring)):
        if given and lm is None:
            raise UsageError(f"{name} is about a language model; it needs --lm")
