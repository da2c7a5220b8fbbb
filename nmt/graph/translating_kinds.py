"""The kinds of stages whose work is translating, and scoring."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from nmt.config import Settings
from nmt.corpus.cleaning import RULES_OF_PAIRS
from nmt.errors import ConfigError
from nmt.graph.stage import ANY, Ingredients, Stage, Takes, Thing, option_of
from nmt.io.lines import read_lines
from nmt.metrics import tokenizer_for
from nmt.prepare.inputs import Named
from nmt.prepared.manifest import read_manifest, without_paths

_OF_SYNTHESIS: Final = ("beam_size", "length_penalty", "precision")
_OF_TUNING: Final = ("beam_size", "precision", "batch_tokens")
_TUNED: Final = ("length_penalty", "lm_weight")
_ALWAYS: Final = ("training.device", "data.root", "data.on_bad_utf8")


class TuneStage(Stage):
    """`nmt tune` on data.valid_src and valid_tgt, for a model or several together: finds search.length_penalty, and
    search.lm_weight, where there is a language model."""

    metric: Literal["bleu", "chrf"] | None = None
    """The score to maximise."""
    lm_rescore: bool = False
    """Let the language model rescore finished hypotheses."""
    tag: str | None = None
    """Piece such as "<news>" put before each sentence."""

    takes: ClassVar[Takes] = {"model": (1, ANY), "language model": (0, 1)}
    gives = "weights"
    reads = (*(f"search.{name}" for name in _OF_TUNING), "data.valid_src", "data.valid_tgt", *_ALWAYS)

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what is set of the search, and the tag."""
        return {"search": _deciding(_search_of(given.settings, *_OF_TUNING)), "data": {"tag": self.tag}}

    def files(self, given: Ingredients) -> Named:
        """Name the validation set."""
        data = given.settings.data
        if data.valid_src is None or data.valid_tgt is None:
            raise ConfigError("data.valid_src and data.valid_tgt are not set: there is nothing to tune on")
        _check_rescoring(self.lm_rescore, given)
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
        model, *options = _together(given, lm_rescore=self.lm_rescore)
        options += [
            *(part for name, (file, *_) in self.files(given) for part in (f"--{name[-3:]}", str(file))),
            *option_of("--metric", self.metric),
            *_search_options(_search_of(given.settings, *_OF_TUNING)),
            *option_of("--tag", self.tag),
            *_computation(1, given),
        ]
        return ["tune", model, "--output", str(output), *options]


class _Translating(Stage):
    """What stages have in common whose work is translating."""

    workers: int = Field(default=1, ge=1)
    """Processes that translate, on which nothing depends."""


class TranslateStage(_Translating):
    """`nmt translate` a text by a model, or by several together, with the section search, or with what `nmt tune` has
    found of it."""

    source: Path | None = None
    """The text, relative to data.root, unless a stage that it needs gives one; unset: data.test_src."""
    tag: str | None = None
    """Piece such as "<news>" put before each sentence; unset: data.test_tag, for data.test_src."""
    lm_rescore: bool = False
    """Let the language model rescore finished hypotheses."""

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
        _check_rescoring(self.lm_rescore, given)
        return [] if given.inputs.get("text") else [("source", (self.text_of(given),))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text."""
        model, *options = _together(given, lm_rescore=self.lm_rescore)
        options += [
            *given.optional("--memory", "memory"),
            *_search_options(self._search(given) | _tuned(given)),
            *option_of("--tag", self.tag_of(given)),
            *_computation(self.workers, given),
        ]
        return ["translate", model, str(self.text_of(given)), "--output", str(output), *options]

    def _search(self, given: Ingredients) -> dict[str, Any]:
        """Return what is set of the search and has an effect."""
        search, idle = _search_of(given.settings), self._idle(given)
        return {name: value for name, value in search.items() if not name.startswith(idle)}

    def _idle(self, given: Ingredients) -> tuple[str, ...]:
        """Return how settings of the search begin that are about what is not there, or that have been found."""
        beside: dict[str, Thing] = {"memory_": "memory", "lm_": "language model"}
        absent = (name for name, thing in beside.items() if not given.inputs.get(thing))
        return ("rescore_", "reverse_", *absent, *(_TUNED if given.inputs.get("weights") else ()))

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the text."""
        if texts := given.inputs.get("text"):
            return texts[0]
        if source := self.source or given.settings.data.test_src:
            return given.file(source)
        raise ConfigError("source is not set, nor is data.test_src: there is nothing to translate")

    def tag_of(self, given: Ingredients) -> str | None:
        """Return what is put before each sentence, if anything is."""
        is_test = self.source is None and not given.inputs.get("text")
        return self.tag or (given.settings.data.test_tag if is_test else None)


class ScoreStage(Stage):
    """`nmt score`: translations against a reference."""

    reference: Path | None = None
    """The reference, relative to data.root; unset: data.test_tgt."""

    takes: ClassVar[Takes] = {"text": (1, ANY)}
    gives = "scores"
    reads = ("data.root", "data.test_tgt", "data.tgt_lang", "data.on_bad_utf8", "training.bleu_tokenizer")
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
        return [("reference", (given.file(reference),))]

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

    reads = (*(f"search.{name}" for name in _OF_SYNTHESIS), *RULES_OF_PAIRS, *_ALWAYS)

    @property
    def rules(self) -> dict[str, Any]:
        """The rules of cleaning that the stage changes; the others are those of the model, or of the data."""
        return {key: value for key, value in self.set.get("data", {}).items() if f"data.{key}" in RULES_OF_PAIRS}

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
        return [("text", (self.text_of(given),))]

    def text_of(self, given: Ingredients) -> Path:
        """Return the file of the text."""
        return given.file(self.text)

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Translate the text back."""
        backward, *forward = map(str, given.inputs["model"])
        options = [
            *(part for model in forward for part in ("--forward-model", model)),
            *(f"--{name}" for name in ("sample", "noise") if getattr(self, name)),
            *option_of("--top-k", self.top_k),
            *option_of("--seed", self.seed),
            *option_of("--keep-share", self.keep_share),
            *self.options_of(given),
        ]
        return ["backtranslate", backward, str(self.text_of(given)), "--output", str(output), *options]


class DistilStage(_Judging):
    """`nmt distil` by models as an ensemble of teachers: of the sources of data, or of a text."""

    text: Path | None = None
    """Text of the source language, relative to data.root, instead of data."""
    nearest: Literal["bleu", "chrf"] | None = None
    """Of the n-best list, take what is nearest to the reference by this score."""

    takes: ClassVar[Takes] = {"model": (1, ANY), "data": (0, 1)}
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
        text = self.text_of(given)
        return [("text", (text,))] if text else []

    def text_of(self, given: Ingredients) -> Path | None:
        """Return the file of the text, if it is one."""
        return self.text and given.file(self.text)

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Let the teachers translate."""
        text = [*option_of("--text", self.text_of(given))] or [given.one("data")]
        options = [
            *(part for teacher in given.inputs["model"] for part in ("--teacher", str(teacher))),
            *option_of("--nearest", self.nearest),
            *self.options_of(given),
        ]
        return ["distil", *text, "--output", str(output), *options]


def _search_of(settings: Settings, *names: str) -> dict[str, Any]:
    """Return what is set of the search, or of some of its settings; what is not is the model's."""
    found = settings.search.model_dump(exclude_unset=True, exclude_none=True)
    return {name: value for name, value in found.items() if name in names or not names}


def _search_options(search: Mapping[str, Any]) -> Iterator[str]:
    for name, value in search.items():
        option = "beam" if name == "beam_size" else name.replace("_", "-")
        yield from (f"--{'' if value else 'no-'}{option}",) if isinstance(value, bool) else (f"--{option}", str(value))


def _deciding(search: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes no translation."""
    return {name: value for name, value in search.items() if name != "batch_tokens"}


def _together(given: Ingredients, *, lm_rescore: bool) -> list[str]:
    """Return the first model, and options for the others and for a language model."""
    model, *others = map(str, given.inputs["model"])
    rescoring = ["--lm-rescore"] if lm_rescore else []
    ensemble = (part for other in others for part in ("--ensemble", other))
    return [model, *ensemble, *given.optional("--lm", "language model"), *rescoring]


def _check_rescoring(lm_rescore: bool, given: Ingredients) -> None:
    if lm_rescore and not given.inputs.get("language model"):
        raise ConfigError("lm_rescore needs a language model")


def _tuned(given: Ingredients) -> dict[str, float]:
    """Return what has been found of the search; a weight of 0 is that of no language model."""
    found = {}
    for path in given.inputs.get("weights", []):
        best = json.loads(path.read_text(encoding="utf-8"))["best"]
        found = {name: best[name] for name in _TUNED if best[name] or given.inputs.get("language model")}
    return found


def _computation(workers: int, given: Ingredients) -> list[str]:
    data, device = given.settings.data, given.settings.training.device
    several = ["--workers", str(workers)] if workers > 1 else []
    return ["--device", device, "--on-bad-utf8", data.on_bad_utf8, *several]
