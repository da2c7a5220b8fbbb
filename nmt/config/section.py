"""What the sections of the settings have in common."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from nmt.text.vocab import BOS_PIECE, EOS_PIECE, PAD_PIECE, UNK_PIECE

_BYTE: Final = re.compile("<0x[0-9A-F]{2}>")

Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """One table of the settings: closed, frozen, every field documented."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def is_reserved(piece: str) -> bool:
    """Whether a piece has the name of a special one or of a byte, so that none of the user's can have it."""
    return piece in (PAD_PIECE, UNK_PIECE, BOS_PIECE, EOS_PIECE) or _BYTE.fullmatch(piece) is not None


def expecting(what: str) -> WrapValidator:
    """Let a field of several types say what it expects, where pydantic would tell of each of its types."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(f"expected {what}, found {value!r}") from error

    return WrapValidator(check)
