"""What a stage can do: what each kind takes and gives, and the command of `nmt` that it is."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from nmt.config import Settings
from nmt.config.load import to_tree
from nmt.config.section import Section
from nmt.errors import ConfigError, NmtError
from nmt.io.lines import read_lines
from nmt.metrics import tokenizer_for
from nmt.models.folder import WEIGHTS
from nmt.prepare.inputs import Named, find_pairs, find_text
from nmt.prepare.tokenizing import resolve_tokenizer
from nmt.prepared.manifest import prepared_sections, read_manifest, without_paths

Thing = Literal["data", "model", "text", "pairs", "scores"]
SUFFIXES: Final[dict[Thing, str]] = {"data": "", "model": "", "text": ".txt", "pairs": ".tsv", "scores": ".json"}
"""What a stage can give, and what the name of it ends in: nothing where it is a folder."""
Takes = Mapping[Thing, tuple[int, int]]
"""How many stages have to give it, at least and at most."""
_ANY: Final = 1000
_PATHS: Final = {"src_vectors", "tgt_vectors", "parent"}
_OF_SYNTHESIS: Final = ("beam_size", "length_penalty", "precision")
_IDLE: Final = {"threads", "device", "log_every", "checkpoint_every", "tensorboard"}
"""Settings of the training on which the model does not depend, but for rounding."""


@dataclass(frozen=True)
class Ingredients:
    """What a stage is made from."""

    settings: Settings
    inputs: Mapping[Thing, list[Path]]
    """What the stages give that it needs, in the order in which it names them."""

    def one(self, thing: Thing) -> str:
        """Return the first one, which is there."""
        return str(self.inputs[thing][0])

    def optional(self, option: str, thing: Thing) -> list[str]:
        """Return an option for the first one, if there is one."""
        return [option, self.one(thing)] if self.inputs.get(thing) else []


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
    resumes: ClassVar[bool] = False
    """Whether the command goes on from where it was killed, and finds out by itself that all is done."""
    printed: ClassVar[bool] = False
    """Whether what it gives is what the command prints."""

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


class PrepareStage(Stage):
    """`nmt prepare` with the sections data and tokenizer."""

    takes: ClassVar[Takes] = {"data": (0, _ANY), "model": (0, _ANY), "text": (0, _ANY), "pairs": (0, _ANY)}
    gives = "data"
    sections = ("data", "tokenizer")
    resumes = True

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return these two sections."""
        return without_paths(prepared_sections(given.settings))

    def files(self, given: Ingredients) -> Named:
        """Name the text and the tokenizers."""
        _, tokenizers = resolve_tokenizer(given.settings)
        return [*self._text(given), *((setting, (path,)) for setting, path in tokenizers.items())]

    def expected(self, given: Ingredients) -> Named:
        """Name the files that the stages that it needs do not make, as far as that can be said before these."""
        if not given.inputs:
            return self.files(given)
        made = [path.absolute() for paths in given.inputs.values() for path in paths]
        with suppress(NmtError):  # text of data that are still to be made
            return [(setting, tuple(one for one in text if one not in made)) for setting, text in self._text(given)]
        return []

    def _text(self, given: Ingredients) -> Named:
        data = given.settings.data
        return (find_text(data) if data.train_text else find_pairs(data)).named

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Prepare what the settings name."""
        return ["prepare", str(output), "--recipe", str(recipe)]


class TrainStage(Stage):
    """`nmt train` on data, from the weights of a model if it needs one."""

    takes: ClassVar[Takes] = {"data": (1, 1), "model": (0, 1)}
    gives = "model"
    sections = ("model", "training", "search")
    resumes = True

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return the sections model and training."""
        tree = to_tree(given.settings, only_set=False)
        idle = _PATHS | _IDLE
        return {name: {k: v for k, v in tree[name].items() if k not in idle} for name in ("model", "training")}

    def files(self, given: Ingredients) -> Named:
        """Name word vectors, and the weights of a parent."""
        model, parent = given.settings.model, given.settings.training.parent
        named = {"model.src_vectors": model.src_vectors, "model.tgt_vectors": model.tgt_vectors}
        named["training.parent"] = parent and parent / WEIGHTS
        return [(name, (path,)) for name, path in named.items() if path]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Train a model, or go on."""
        return ["train", given.one("data"), str(output), "--recipe", str(recipe), *given.optional("--from", "model")]


class AverageStage(Stage):
    """`nmt average` of the checkpoints of a model that was trained; validated on data if it needs them."""

    last: int | None = Field(default=None, ge=1)
    """How many of the newest checkpoints; unset: all."""

    takes: ClassVar[Takes] = {"model": (1, 1), "data": (0, 1)}
    gives = "model"

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Average the checkpoints."""
        last = _option("--last", self.last)
        return ["average", given.one("model"), str(output), *last, *given.optional("--data", "data")]


class ShortlistStage(Stage):
    """`nmt shortlist`: a copy of a model with a lexicon, learnt from its data."""

    size: int | None = Field(default=None, ge=1)
    """Translations kept of each source piece."""
    pairs: int | None = Field(default=None, ge=1)
    """Training pairs read at most."""

    takes: ClassVar[Takes] = {"model": (1, 1), "data": (1, 1)}
    gives = "model"

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Learn the lexicon."""
        options = [*_option("--size", self.size), *_option("--pairs", self.pairs)]
        return ["shortlist", given.one("model"), given.one("data"), "--output", str(output), *options]


class AdaptStage(Stage):
    """`nmt adapt`: a model that has learnt from corrections."""

    corrections: Path
    """Lines of source <tab> corrected translation, relative to data.root."""

    takes: ClassVar[Takes] = {"model": (1, 1), "data": (1, 1)}
    gives = "model"

    def files(self, given: Ingredients) -> Named:
        """Name the corrections."""
        return [("corrections", (given.settings.data.root / self.corrections,))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Learn from them."""
        corrections = str(given.settings.data.root / self.corrections)
        return ["adapt", given.one("model"), corrections, "--output", str(output), "--data", given.one("data")]


class _Translating(Stage):
    """What stages have in common whose work is translating."""

    workers: int = Field(default=1, ge=1)
    """Processes that translate, on which nothing depends."""


class TranslateStage(_Translating):
    """`nmt translate` a text by a model, or by several together, with the section search."""

    source: Path | None = None
    """The text, relative to data.root, unless a stage that it needs gives one; unset: data.test_src."""
    tag: str | None = None
    """Piece such as "<news>" put before each sentence; unset: data.test_tag, for data.test_src."""

    takes: ClassVar[Takes] = {"model": (1, _ANY), "text": (0, 1)}
    gives = "text"

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return the search that is set, and the tag; the rest is the model's."""
        return {"search": _search_of(given.settings), "data": {"tag": self.tag_of(given)}}

    def files(self, given: Ingredients) -> Named:
        """Name the text."""
        return [] if given.inputs.get("text") else [("source", (self.text_of(given),))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text."""
        model, *others = map(str, given.inputs["model"])
        options = [
            *(part for other in others for part in ("--ensemble", other)),
            *_search_options(_search_of(given.settings)),
            *_option("--tag", self.tag_of(given)),
            *_computation(self.workers, given),
        ]
        return ["translate", model, str(self.text_of(given)), "--output", str(output), *options]

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the text."""
        if texts := given.inputs.get("text"):
            return texts[0]
        if source := self.source or given.settings.data.test_src:
            return given.settings.data.root / source
        raise ConfigError("source is not set, nor is data.test_src: there is nothing to translate")

    def tag_of(self, given: Ingredients) -> str | None:
        """Return what is put before each sentence, if anything is."""
        is_test = self.source is None and not given.inputs.get("text")
        return self.tag or (given.settings.data.test_tag if is_test else None)


class ScoreStage(Stage):
    """`nmt score`: translations against a reference."""

    reference: Path | None = None
    """The reference, relative to data.root; unset: data.test_tgt."""

    takes: ClassVar[Takes] = {"text": (1, _ANY)}
    gives = "scores"
    printed = True

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return how words are found."""
        training, data = given.settings.training, given.settings.data
        return {"training": {"bleu_tokenizer": training.bleu_tokenizer}, "data": {"tgt_lang": data.tgt_lang}}

    def files(self, given: Ingredients) -> Named:
        """Name the reference."""
        reference = self.reference or given.settings.data.test_tgt
        if reference is None:
            raise ConfigError("reference is not set, nor is data.test_tgt: there is nothing to compare with")
        return [("reference", (given.settings.data.root / reference,))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Score the translations."""
        [(_, (reference, *_))] = self.files(given)
        assert isinstance(reference, Path)
        bad = given.settings.data.on_bad_utf8
        tokenizer = tokenizer_for(given.settings, list(read_lines(reference, on_bad_utf8=bad)))
        texts = map(str, given.inputs["text"])
        return ["score", str(reference), *texts, "--json", "--tokenize", tokenizer, "--on-bad-utf8", bad]


class _Judging(_Translating):
    """What stages have in common that write pairs, and judge them."""

    @property
    def rules(self) -> dict[str, Any]:
        """The rules of cleaning that the stage changes; the others are those of the model, or of the data."""
        return {key: value for key, value in self.set.get("data", {}).items() if key not in ("root", "on_bad_utf8")}

    def options_of(self, given: Ingredients) -> list[str]:
        """Return the options about the search, the rules and the computation."""
        return [
            *_search_options(_search_of(given.settings, *_OF_SYNTHESIS)),
            *(part for key, value in self.rules.items() for part in ("--set", f"data.{key}={json.dumps(value)}")),
            *_computation(self.workers, given),
        ]


class BacktranslateStage(_Judging):
    """`nmt backtranslate` by a backward model; a second model, of the other direction, judges the pairs."""

    text: Path
    """Text of the target language, relative to data.root."""
    sample: bool = False
    """Sample a translation of each line, instead of the best that the beam finds."""
    top_k: int | None = Field(default=None, ge=0)
    """Sample from the so many most probable pieces."""
    noise: bool = False
    """Drop words of each source, and move others."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of samples and noise."""
    keep_share: float | None = Field(default=None, gt=0.0, le=1.0)
    """Keep this share, that both models agree on best."""

    takes: ClassVar[Takes] = {"model": (1, 2)}
    gives = "pairs"

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search and of the rules."""
        return {"search": _search_of(given.settings, *_OF_SYNTHESIS), "data": self.rules}

    def files(self, given: Ingredients) -> Named:
        """Name the text; refuse what has no effect."""
        second = len(given.inputs["model"]) > 1
        needed = {"top_k": (self.sample, "sample"), "seed": (self.sample or self.noise, "sample or noise")}
        for name, (there, what) in (needed | {"keep_share": (second, "a second model, to judge")}).items():
            if getattr(self, name) is not None and not there:
                raise ConfigError(f"{name} needs {what}")
        return [("text", (given.settings.data.root / self.text,))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text back."""
        backward, *forward = map(str, given.inputs["model"])
        options = [
            *(part for model in forward for part in ("--forward-model", model)),
            *(f"--{name}" for name in ("sample", "noise") if getattr(self, name)),
            *_option("--top-k", self.top_k),
            *_option("--seed", self.seed),
            *_option("--keep-share", self.keep_share),
            *self.options_of(given),
        ]
        text = given.settings.data.root / self.text
        return ["backtranslate", backward, str(text), "--output", str(output), *options]


class DistilStage(_Judging):
    """`nmt distil` by models as an ensemble of teachers: of the sources of data, or of a text."""

    text: Path | None = None
    """Text of the source language, relative to data.root, instead of data."""
    nearest: Literal["bleu", "chrf"] | None = None
    """Of the n-best list, take what is nearest to the reference by this score."""

    takes: ClassVar[Takes] = {"model": (1, _ANY), "data": (0, 1)}
    gives = "pairs"

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search, and the rules, which are those of the data."""
        data = given.inputs.get("data")
        rules = without_paths(read_manifest(data[0]).settings)["data"] if data else {}
        return {"search": _search_of(given.settings, *_OF_SYNTHESIS), "data": rules | self.rules}

    def files(self, given: Ingredients) -> Named:
        """Name the text, if it is one."""
        if (self.text is None) != bool(given.inputs.get("data")):
            found = "both" if self.text else "neither"
            raise ConfigError(f"distil takes data or has a text, found {found}")
        if self.nearest and self.text:
            raise ConfigError("nearest compares with references, so it goes without text")
        return [("text", (given.settings.data.root / self.text,))] if self.text else []

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Let the teachers translate."""
        text = ["--text", str(given.settings.data.root / self.text)] if self.text else [given.one("data")]
        options = [
            *(part for teacher in given.inputs["model"] for part in ("--teacher", str(teacher))),
            *_option("--nearest", self.nearest),
            *self.options_of(given),
        ]
        return ["distil", *text, "--output", str(output), *options]


KINDS: Final[dict[str, type[Stage]]] = {
    "prepare": PrepareStage,
    "train": TrainStage,
    "average": AverageStage,
    "shortlist": ShortlistStage,
    "adapt": AdaptStage,
    "backtranslate": BacktranslateStage,
    "distil": DistilStage,
    "translate": TranslateStage,
    "score": ScoreStage,
}
"""What `do` of a stage may be: a new kind is a class above, and a line here."""


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _search_of(settings: Settings, *names: str) -> dict[str, Any]:
    """Return what is set of the search, or of some of its settings; what is not is the model's. Without a memory and a
    language model, nothing is set of them."""
    found = settings.search.model_dump(exclude_unset=True, exclude_none=True)
    return {k: v for k, v in found.items() if (k in names if names else not k.startswith(("memory_", "lm_")))}


def _search_options(search: Mapping[str, Any]) -> Iterator[str]:
    for name, value in search.items():
        option = "beam" if name == "beam_size" else name.replace("_", "-")
        yield from (f"--{'' if value else 'no-'}{option}",) if isinstance(value, bool) else (f"--{option}", str(value))


def _computation(workers: int, given: Ingredients) -> list[str]:
    data, device = given.settings.data, given.settings.training.device
    several = ["--workers", str(workers)] if workers > 1 else []
    return ["--device", device, "--on-bad-utf8", data.on_bad_utf8, *several]
