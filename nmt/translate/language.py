"""A language model of the target language, beside a translator: in its search, or for what that has found."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from nmt.config import Settings
from nmt.errors import ModelError
from nmt.io.files import sha256
from nmt.io.lines import normaliser
from nmt.models.devices import for_search
from nmt.models.folder import load_language_model, load_own_tokenizers
from nmt.models.language_model import LanguageModel
from nmt.models.prepacked import SearchPrecision
from nmt.search.combined import FusedModel, TextModel
from nmt.search.protocol import Memory, SearchableModel, State
from nmt.text.tokenizer import Tokenizer, tokenizer_files

if TYPE_CHECKING:
    from nmt.lm.scorer import BlockReader


@dataclass(frozen=True)
class TargetLanguage:
    """A language model of the language that is translated into."""

    model: LanguageModel
    """As it was trained."""
    precision: SearchPrecision
    tokenizer: Tokenizer
    normalise: Callable[[str], str]
    """What its text was read with."""
    folder: Path
    beside: Path
    """The translation model."""
    same_pieces: bool
    """Whether it reads the pieces that the translation model writes."""
    reads_otherwise: bool
    """Whether one of the two has learnt from lower-cased text, and the other has not."""

    @classmethod
    def load(
        cls, folder: Path, *, beside: Path, settings: Settings, device: torch.device, precision: SearchPrecision
    ) -> Self:
        """Load the language model of `folder` beside the translation model of `beside`, which has these settings.

        One that has read text with other placeholders is a ModelError, as what is no language model is.
        """
        model, own = load_language_model(folder, device=device)
        if own.tokenizer.placeholders != settings.tokenizer.placeholders:
            raise ModelError(
                f"{folder} was trained with tokenizer.placeholders = {list(own.tokenizer.placeholders)}, {beside} with "
                f"{list(settings.tokenizer.placeholders)}; a language model has to read what the translation model "
                "writes"
            )
        *_, written = tokenizer_files(beside)
        [read] = tokenizer_files(folder)
        return cls(
            model,
            precision,
            load_own_tokenizers(folder).tgt,
            normaliser(own.data),
            folder,
            beside,
            same_pieces=sha256(read) == sha256(written),
            reads_otherwise=own.data.lowercase != settings.data.lowercase,
        )

    def fused(self, model: SearchableModel[Memory, State], weight: float) -> FusedModel[Memory, State, Any]:
        """Let it choose pieces together with a translation model; a ModelError if that writes other pieces."""
        if not self.same_pieces:
            raise ModelError(
                f"{self.folder} has another tokenizer than {self.beside} has for its translations; to choose words "
                "together they share it: prepare the text of the language model with `nmt prepare DATA_DIR --text FILE "
                f"--tokenizer {shlex.quote(str(self.beside))}`, or use it as it is with --lm-rescore"
            )
        if self.reads_otherwise:
            raise ModelError(
                f"{self.folder} and {self.beside} differ in data.lowercase; to choose words together they read text in "
                "one case: prepare that of the language model with the same, or use it as it is with --lm-rescore"
            )
        return FusedModel(model, self._searched, weight=weight)

    def log_probabilities(self, texts: Sequence[str]) -> list[float]:
        """Return the natural logarithm of the probability of each text, with its end."""
        from nmt.lm.scorer import score_apart

        rows = self.tokenizer.encode(list(map(self.normalise, texts)))
        return [math.fsum(words) for words in score_apart(self._reader, rows)]

    @cached_property
    def _searched(self) -> TextModel[Any]:
        """Goes piece by piece; made when it is first needed, and the same in threads that need it at once."""
        return for_search(self.model, self.precision, device=self.model.device)

    @cached_property
    def _reader(self) -> "BlockReader":
        from nmt.lm.scorer import make_readers

        apart, _ = make_readers(self.model, "bf16" if self.precision == "bf16" else "fp32")
        return apart
