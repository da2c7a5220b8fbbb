"""What every stage of a recipe is: what it takes and gives, what it depends on, and its command of `nmt`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from nmt.config import Settings
from nmt.config.section import Section
from nmt.prepare.inputs import Named

Thing = Literal["data", "model", "language model", "memory", "text", "pairs", "weights", "scores"]
SUFFIXES: Final[dict[Thing, str]] = {
    **{"data": "", "model": "", "memory": ""},
    **{"text": ".txt", "pairs": ".tsv", "weights": ".json", "scores": ".json"},
}
"""What a stage can give, and what the name of it ends in: nothing where it is a folder."""
Takes = Mapping[Thing, tuple[int, int]]
"""How many stages have to give it, at least and at most."""
ANY: Final = 1000


@dataclass(frozen=True)
class Ingredients:
    """What a stage is made from."""

    settings: Settings
    inputs: Mapping[Thing, list[Path]]
    """What the stages give that it needs, in the order in which it names them."""
    named: Mapping[str, list[Path]] = field(default_factory=dict)
    """The models of stages that keys of its own name, by these keys."""

    def file(self, path: Path) -> Path:
        """Return where a file of this name lies."""
        return self.settings.data.root / path

    def one(self, thing: Thing) -> str:
        """Return the first one, which is there."""
        return str(self.inputs[thing][0])

    def all(self, thing: Thing) -> list[Path]:
        """Return what there is of it."""
        return self.inputs.get(thing, [])

    def beside(self, key: str) -> list[Path]:
        """Return the models of the stages that a key names."""
        return self.named.get(key, [])


class Stage(Section):
    """What every stage has, whatever it does."""

    needs: tuple[str, ...] = ()
    """Stages that come before, and whose results it takes."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings that are others for this stage: set.training.seed = 2."""

    takes: ClassVar[Takes]
    """What it takes from the stages that it needs."""
    gives: ClassVar[Thing]
    sections: ClassVar[tuple[str, ...]] = ()
    """Sections of the settings that the command reads from a file."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Other settings that have an effect, and sections of them."""
    resumes: ClassVar[bool] = False
    """Whether the command goes on from where it was killed, and finds out by itself that all is done."""
    printed: ClassVar[bool] = False
    """Whether what it gives is what the command prints."""
    naming: ClassVar[tuple[str, ...]] = ()
    """Keys that name stages too, whose models have a say beside those that it needs."""

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The stages that such keys name."""
        found = {key: getattr(self, key) for key in self.naming}
        return {key: (value,) if isinstance(value, str) else value for key, value in found.items() if value}

    def own(self, *names: str) -> dict[str, Any]:
        """Return those of its keys that are not at their defaults."""
        return self.model_dump(include={*names}, exclude_defaults=True)

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return the settings on which the result depends, by sections; where files lie is left aside."""
        return {}

    def files(self, given: Ingredients) -> Named:
        """Name the files that it reads besides the results of other stages."""
        return []

    def expected(self, given: Ingredients) -> Named:
        """Name those of the files that have to be there before anything is done."""
        return self.files(given)

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Return the arguments of `nmt` that make `output`; `recipe` is a file of the settings."""
        raise NotImplementedError


def options_of(values: Mapping[str, Any]) -> list[str]:
    """Write values as options of `nmt`, several of one name one after the other; what is None is left out."""
    options = list[str]()
    for name, value in values.items():
        option = "beam" if name == "beam_size" else name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{'' if value else 'no-'}{option}")
        elif value is not None:
            several = value if isinstance(value, list | tuple) else (value,)
            options += [part for one in several for part in (f"--{option}", str(one))]
    return options
