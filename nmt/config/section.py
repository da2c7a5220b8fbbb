"""What the sections of the settings have in common."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """One table of the settings: closed, frozen, every field documented."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Expected:
    """Lets a field of several types say what it expects, where pydantic would tell of each of its types."""

    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the field, with an error of its own."""
        return core_schema.custom_error_schema(
            handler(source), "expected", custom_error_message=f"expected {self.what}"
        )
