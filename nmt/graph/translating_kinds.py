"""The kinds of stages whose work is translating, and scoring."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from nmt.corpus.cleaning import RULES_OF_PAIRS
from nmt.errors import ConfigError
from nmt.graph.stage import ANY, Ingredients, Stage, Takes, Thing, options_of
from nmt.io.lines import read_lines
from nmt.metrics import tokenizer_for
from nmt.prepare.inputs import Named
from nmt.prepared.manifest import read_manifest, without_paths

_OF_SYNTHESIS: Final = ("beam_size", "length_penalty", "precision")
_OF_TUNING: Final = ("beam_size", "precision", "batch_tokens")
_TUNED: Final = ("length_penalty", "lm_weight", "rescore_weight", "reverse_weight")
WEIGHED: Final = {"rescore_weight": "right_to_left", "reverse_weight": "reverse_model"}
"""Keys that name models which rescore, by the weights of these."""
_ALWAYS: Final = ("training.device", "data.root", "data.on_bad_utf8")


class _Rescored(Stage):
    """What stages have in common whose translations other models may rescore."""

    lm_rescore: bool = False
    """Let the language model rescore finished hypotheses."""
    right_to_left: str | None = None
    """Stage that gives a model that writes from right to left, which rescores what the beam holds."""
    reverse_model: str | None = None
    """Stage that gives a model from target to source, which rescores what the beam holds."""

    naming = tuple(WEIGHED.values())

    def check_rescoring(self, given: Ingredients) -> None:
        """Refuse to rescore by what is not there, or where there is nothing to choose from."""
        if self.lm_rescore and not given.all("language model"):
            raise ConfigError("lm_rescore needs a language model")
        _check_beam([key for key in ("lm_rescore", *self.naming) if getattr(self, key)], given)

    def beside(self, given: Ingredients) -> dict[str, Any]:
        """Return the options about the models that have a say beside the first."""
        _, *others = given.all("model")
        beside = {"ensemble": others, "memory": given.all("memory"), "lm": given.all("language model")}
        return beside | {key: given.beside(key) for key in self.naming}


class TuneStage(_Rescored):
    """`nmt tune` on data.valid_src and valid_tgt, for a model or several together: finds search.length_penalty, and
    the weights of a language model and of models that rescore, where there are such."""

    metric: Literal["bleu", "chrf"] | None = None
    """The score to maximise."""
    tag: str | None = None
    """Piece such as "<news>" put before each sentence."""

    takes: ClassVar[Takes] = {"model": (1, ANY), "language model": (0, 1)}
    gives = "weights"
    reads = (*(f"search.{name}" for name in _OF_TUNING), "data.valid_src", "data.valid_tgt", *_ALWAYS)

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search, and the tag."""
        return {"search": _deciding(_search_of(given, *_OF_TUNING)), "data": {"tag": self.tag}}

    def files(self, given: Ingredients) -> Named:
        """Name the validation set."""
        data = given.settings.data
        if data.valid_src is None or data.valid_tgt is None:
            raise ConfigError("data.valid_src and data.valid_tgt are not set: there is nothing to tune on")
        self.check_rescoring(given)
        named = {"data.valid_src": data.valid_src, "data.valid_tgt": data.valid_tgt}
        return [(name, (given.file(path),)) for name, path in named.items()]

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the source."""
        assert given.settings.data.valid_src
        return given.file(given.settings.data.valid_src)

    def tag_of(self, given: Ingredients) -> str | None:
        """Return what is put before each sentence, if anything is."""
        return self.tag

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Tune."""
        options: dict[str, Any] = {name.removeprefix("data.valid_"): file for name, (file,) in self.files(given)}
        options |= {"output": output, **self.beside(given), **self.own("metric", "lm_rescore", "tag")}
        options |= _search_of(given, *_OF_TUNING) | _computation(given)
        return ["tune", given.one("model"), *options_of(options)]


class TranslateStage(_Rescored):
    """`nmt translate` a text by a model, or by several together, with the section search, or with what `nmt tune` has
    found of it."""

    source: Path | None = None
    """The text, relative to data.root, unless a stage that it needs gives one; unset: data.test_src."""
    tag: str | None = None
    """Piece such as "<news>" put before each sentence; unset: data.test_tag, for data.test_src."""
    workers: int = Field(default=1, ge=1)
    """Processes that translate, on which nothing depends."""

    takes: ClassVar[Takes] = {
        **{"model": (1, ANY), "text": (0, 1)},
        **{"memory": (0, 1), "language model": (0, 1), "weights": (0, 1)},
    }
    gives = "text"
    reads = ("search", "data.test_src", "data.test_tag", *_ALWAYS)

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return the search that is set, and the tag; the rest is the model's."""
        return {"search": _deciding(self._search(given)), "data": {"tag": self.tag_of(given)}}

    def files(self, given: Ingredients) -> Named:
        """Name the text; refuse what has no effect."""
        for name in self.set.get("search", {}):
            if name.startswith(self._idle(given)):
                raise ConfigError(f"set.search.{name} has no effect on this stage")
        self.check_rescoring(given)
        return [] if given.all("text") else [("source", (self.text_of(given),))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text."""
        options = {"output": output, **self.beside(given), **self.own("lm_rescore", "workers")}
        options |= {"tag": self.tag_of(given)} | self._search(given) | _tuned(given) | _computation(given)
        return ["translate", given.one("model"), str(self.text_of(given)), *options_of(options)]

    def _search(self, given: Ingredients) -> dict[str, Any]:
        """Return what is set of the search and has an effect."""
        idle = self._idle(given)
        return {name: value for name, value in _search_of(given).items() if not name.startswith(idle)}

    def _idle(self, given: Ingredients) -> tuple[str, ...]:
        """Return how settings of the search begin that are about what is not there, or that have been found."""
        beside: dict[str, Thing] = {"memory_": "memory", "lm_": "language model"}
        absent = [name for name, thing in beside.items() if not given.all(thing)]
        absent += [weight for weight, key in WEIGHED.items() if not given.beside(key)]
        return (*absent, *(_TUNED if given.all("weights") else ()))

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the text."""
        if texts := given.all("text"):
            return texts[0]
        if source := self.source or given.settings.data.test_src:
            return given.file(source)
        raise ConfigError("source is not set, nor is data.test_src: there is nothing to translate")

    def tag_of(self, given: Ingredients) -> str | None:
        """Return what is put before each sentence, if anything is."""
        is_test = self.source is None and not given.all("text")
        return self.tag or (given.settings.data.test_tag if is_test else None)


class ScoreStage(Stage):
    """`nmt score`: translations against a reference."""

    reference: Path | None = None
    """The reference, relative to data.root; unset: data.test_tgt."""

    takes: ClassVar[Takes] = {"text": (1, ANY)}
    gives = "scores"
    reads = (
        *("data.root", "data.test_tgt", "data.tgt_lang", "data.lowercase", "data.on_bad_utf8"),
        "training.bleu_tokenizer",
    )
    printed = True

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return how words are found, and whether their case counts."""
        training, data = given.settings.training, given.settings.data
        case = {"lowercase": True} if data.lowercase else {}
        return {"training": {"bleu_tokenizer": training.bleu_tokenizer}, "data": {"tgt_lang": data.tgt_lang, **case}}

    def files(self, given: Ingredients) -> Named:
        """Name the reference."""
        return [("reference", (self.reference_of(given),))]

    def reference_of(self, given: Ingredients) -> Path:
        """Return the file of the reference."""
        if reference := self.reference or given.settings.data.test_tgt:
            return given.file(reference)
        raise ConfigError("reference is not set, nor is data.test_tgt: there is nothing to compare with")

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Score the translations."""
        reference, bad = self.reference_of(given), given.settings.data.on_bad_utf8
        tokenizer = tokenizer_for(given.settings, list(read_lines(reference, on_bad_utf8=bad)))
        lowercase = given.settings.data.lowercase or None
        options = {"json": True, "tokenize": tokenizer, "lowercase": lowercase, "on_bad_utf8": bad}
        return ["score", str(reference), *map(str, given.all("text")), *options_of(options)]


class _Judging(Stage):
    """What stages have in common that write pairs, and judge them."""

    tag: str | None = None
    """Piece such as "<news>" put before each sentence."""
    workers: int = Field(default=1, ge=1)
    """Processes that translate, on which nothing depends."""

    gives = "pairs"
    reads = (*(f"search.{name}" for name in _OF_SYNTHESIS), *RULES_OF_PAIRS, *_ALWAYS)

    @property
    def rules(self) -> dict[str, Any]:
        """The rules of cleaning that the stage changes; the others are those of the model, or of the data."""
        return {key: value for key, value in self.set.get("data", {}).items() if f"data.{key}" in RULES_OF_PAIRS}

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search, and of the rules."""
        return {"search": _search_of(given, *_OF_SYNTHESIS), "data": {"tag": self.tag} | self.rules}

    def writing(self, given: Ingredients, output: Path) -> dict[str, Any]:
        """Return the options about the output, the search, the rules and the computation."""
        rules = [f"data.{key}={json.dumps(value)}" for key, value in self.rules.items()]
        options = {"output": output, **_search_of(given, *_OF_SYNTHESIS), "set": rules, **_computation(given)}
        return options | self.own("workers", "tag")


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
    forward_tag: str | None = None
    """Piece put before what the second model reads; unset: that of the way back, where there is a tag."""

    takes: ClassVar[Takes] = {"model": (1, 2)}

    def files(self, given: Ingredients) -> Named:
        """Name the text; refuse what has no effect."""
        second = len(given.all("model")) > 1
        needed = {"top_k": (self.sample, "sample"), "seed": (self.sample or self.noise, "sample or noise")}
        needed |= dict.fromkeys(("keep_share", "forward_tag"), (second, "a second model, to judge"))
        for name, (there, what) in needed.items():
            if getattr(self, name) is not None and not there:
                raise ConfigError(f"{name} needs {what}")
        return [("text", (self.text_of(given),))]

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the text."""
        return given.file(self.text)

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text back."""
        backward, *forward = given.all("model")
        options = self.writing(given, output) | {"forward_model": forward}
        options |= self.own("sample", "top_k", "noise", "seed", "keep_share", "forward_tag")
        return ["backtranslate", str(backward), str(self.text_of(given)), *options_of(options)]


class DistilStage(_Judging):
    """`nmt distil` by models as an ensemble of teachers: of the sources of data, or of a text."""

    text: Path | None = None
    """Text of the source language, relative to data.root, instead of data."""
    nearest: Literal["bleu", "chrf"] | None = None
    """Of the n-best list, take what is nearest to the reference by this score."""
    rescore: tuple[str, ...] = ()
    """Stages that give more teachers, of any vocabulary, which rescore n-best lists."""

    naming = ("rescore",)
    takes: ClassVar[Takes] = {"model": (1, ANY), "data": (0, 1)}

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search, and the rules, which are those of the data."""
        found = super().deciding(given)
        for data in given.all("data"):
            found["data"] = without_paths(read_manifest(data).settings)["data"] | found["data"]
        return found

    def files(self, given: Ingredients) -> Named:
        """Name the text, if it is one."""
        if (self.text is None) != bool(given.all("data")):
            found = "both" if self.text else "neither"
            raise ConfigError(f"distil takes data or has a text, found {found}")
        if self.nearest and self.text:
            raise ConfigError("nearest compares with references, so it goes without text")
        if self.tag and not self.text:
            raise ConfigError("tag is about a text: sources of data have the tag of their corpus")
        if self.nearest and self.rescore:
            raise ConfigError("nearest compares with references, so it goes without rescore")
        _check_beam(["rescore"] if self.rescore else [], given)
        text = self.text_of(given)
        return [("text", (text,))] if text else []

    def text_of(self, given: Ingredients) -> Path | None:
        """Return the file of the text, if it is one."""
        return self.text and given.file(self.text)

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Let the teachers translate."""
        options = self.writing(given, output) | {"teacher": given.all("model"), "text": self.text_of(given)}
        options["rescore"] = given.beside("rescore")
        return ["distil", *map(str, given.all("data")), *options_of(options | self.own("nearest"))]


def _search_of(given: Ingredients, *names: str) -> dict[str, Any]:
    """Return what is set of the search, or of some of its settings; what is not is the model's."""
    found = given.settings.search.model_dump(exclude_unset=True, exclude_none=True)
    return {name: value for name, value in found.items() if name in names or not names}


def _deciding(search: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes no translation."""
    return {name: value for name, value in search.items() if name != "batch_tokens"}


def _check_beam(rescoring: Sequence[str], given: Ingredients) -> None:
    """Refuse keys that let other models rescore, where the search keeps one hypothesis."""
    if rescoring and given.settings.search.beam_size == 1:
        raise ConfigError(f"{rescoring[0]}: search.beam_size = 1 leaves nothing to rescore; set it to 2 or more")


def _tuned(given: Ingredients) -> dict[str, float]:
    """Return what has been found of the search; a weight of 0 may be that of no model."""
    weighed = {"lm_weight": given.all("language model")}
    weighed |= {weight: given.beside(key) for weight, key in WEIGHED.items()}
    found = dict[str, float]()
    for path in given.all("weights"):
        best = json.loads(path.read_text(encoding="utf-8"))["best"]
        known = {name: best.get(name, 0.0) for name in _TUNED}  # older tables have fewer
        found = {name: value for name, value in known.items() if value or weighed.get(name, True)}
    return found


def _computation(given: Ingredients) -> dict[str, str]:
    return {"device": given.settings.training.device, "on_bad_utf8": given.settings.data.on_bad_utf8}
