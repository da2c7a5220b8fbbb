"""Models beside the one that translates, as options: a language model, models that rescore, a translation memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nmt.errors import ConfigError
from nmt_cli.terminal import RESCORING, refuse_without

_fusion = partial(typer.Option, rich_help_panel="Language model")
_rescoring = partial(typer.Option, metavar="MODEL_DIR", rich_help_panel=RESCORING)

LanguageModelOption = Annotated[
    Path | None,
    _fusion("--lm", metavar="LM_DIR", help="Language model for shallow fusion; it has the model's tokenizer."),
]

RescoringOption = Annotated[
    bool,
    _fusion(
        "--lm-rescore",
        help="Rescore the finished hypotheses instead; the language model may have a tokenizer of its own.",
    ),
]

RightToLeftOption = Annotated[
    Path | None,
    _rescoring("--right-to-left", help="Let a model that writes from right to left rescore what the beam holds."),
]

ReverseModelOption = Annotated[
    Path | None, _rescoring("--reverse-model", help="Let a model from target to source rescore what the beam holds.")
]


@dataclass(frozen=True)
class OtherModels:
    """What has a say in translations beside the model itself."""

    lm: Path | None
    right_to_left: Path | None
    reverse_model: Path | None
    memory: Path | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `Translator.load`."""
        rescoring = [self.right_to_left] if self.right_to_left else []
        return {"language_model": self.lm, "memory": self.memory, "rescoring": rescoring, "reverse": self.reverse_model}

    @property
    def weights(self) -> dict[str, tuple[str, Path]]:
        """The option and the folder of each that has a weight, by the name of the weight."""
        named = {
            "lm_weight": ("--lm", self.lm),
            "rescore_weight": ("--right-to-left", self.right_to_left),
            "reverse_weight": ("--reverse-model", self.reverse_model),
        }
        return {name: (option, path) for name, (option, path) in named.items() if path}

    def check(self, model_dir: Path, given: Mapping[str, Any]) -> None:
        """Refuse options, `given` by their names, about what is not there, and a model that writes in another direction
        than is said."""
        from nmt.models.folder import read_settings

        for needed, path, prefix, what in (
            ("--lm", self.lm, "lm_", "a language model"),
            ("--memory", self.memory, "memory_", "a memory"),
            ("--right-to-left", self.right_to_left, "rescore_", "a model that rescores"),
            ("--reverse-model", self.reverse_model, "reverse_", "a model that rescores"),
        ):
            about = {name: value for name, value in given.items() if name.startswith(prefix)}
            refuse_without(needed, about if path is None else {}, what=what)
        if self.right_to_left and not read_settings(self.right_to_left).model.right_to_left:
            raise ConfigError(
                f"--right-to-left: {self.right_to_left} writes from left to right (model.right_to_left = false)"
            )
        if self.reverse_model:
            from nmt.synthesis.judging import refuse_same_direction

            refuse_same_direction(self.reverse_model, model_dir)
