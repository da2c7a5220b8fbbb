"""What the sections of the settings have in common."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """One table of the settings: closed, frozen, every field documented by the string under it.

    Validators are built, and those strings read, when they are first needed: a program starts without most of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema, with the documentation of each field."""
        described = handler(schema)
        properties = handler.resolve_ref_schema(described)["properties"]
        for base in cls.__mro__[cls.__mro__.index(Section) - 1 :: -1]:
            for name, text in _documentation(base):
                properties[name]["description"] = text
        return described


def _documentation(section: type) -> Iterator[tuple[str, str]]:
    """Find the strings under the fields of a class in its source."""
    [tree] = ast.parse(dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    for field, text in pairwise(tree.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(documentation))):
                yield name, inspect.cleandoc(documentation)


@dataclass(frozen=True)
class Expected:
    """Lets a field of several types say what it expects, where pydantic would tell of each of its types."""

    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the field, with an error of its own."""
        return core_schema.custom_error_schema(
            handler(source), "expected", custom_error_message=f"expected {self.what}"
        )
