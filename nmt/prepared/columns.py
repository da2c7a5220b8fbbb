"""The columns of prepared data, and what they are called in the files."""

from dataclasses import dataclass
from typing import Final

from nmt.prepared.manifest import SRC_VOCABULARY, TGT_VOCABULARY, VOCABULARY


@dataclass(frozen=True)
class Column:
    """One column of pieces: the source, the target, or a text."""

    ids: str
    """What the ids are called in the Arrow files."""
    text: str
    """What the validation text is called there."""
    vocabulary: str
    """The file that lists its pieces."""


SRC: Final = Column("src", "src_text", SRC_VOCABULARY)
TGT: Final = Column("tgt", "tgt_text", TGT_VOCABULARY)
TEXT: Final = Column("ids", "text", VOCABULARY)
