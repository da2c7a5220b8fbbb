"""What a stage can do: what each kind takes and gives, and the command of `nmt` that it is."""

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import Field

from nmt.config.load import to_tree
from nmt.errors import ConfigError, NmtError
from nmt.graph.stage import ANY, Ingredients, Stage, Takes, options_of
from nmt.graph.translating_kinds import BacktranslateStage, DistilStage, ScoreStage, TranslateStage, TuneStage
from nmt.models.folder import WEIGHTS
from nmt.prepare.inputs import Named, find_files, find_pairs, find_text
from nmt.prepare.tokenizing import resolve_tokenizer
from nmt.prepared.manifest import prepared_sections, without_paths

_PATHS: Final = {"src_vectors", "tgt_vectors", "parent"}
_IDLE: Final = {"threads", "device", "log_every", "tensorboard"}
"""Settings of the training on which nothing depends that it leaves, but for rounding."""
_OF_MEMORY: Final = ("src_lang", "tgt_lang", "on_bad_utf8", "on_bad_record")


class PrepareStage(Stage):
    """`nmt prepare` with the sections data and tokenizer."""

    takes: ClassVar[Takes] = {"data": (0, ANY), "model": (0, ANY), "text": (0, ANY), "pairs": (0, ANY)}
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
        options = {"recipe": recipe, "from": given.all("model")}
        return ["train", given.one("data"), str(output), *options_of(options)]


class AverageStage(Stage):
    """`nmt average` of the checkpoints of a model that was trained; validated on data if it needs them."""

    last: int | None = Field(default=None, ge=1)
    """How many of the newest checkpoints; unset: all."""

    takes: ClassVar[Takes] = {"model": (1, 1), "data": (0, 1)}
    gives = "model"

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Average the checkpoints."""
        options = self.own("last") | {"data": given.all("data")}
        return ["average", given.one("model"), str(output), *options_of(options)]


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
        options = {"output": output} | self.own("size", "pairs")
        return ["shortlist", given.one("model"), given.one("data"), *options_of(options)]


class AdaptStage(Stage):
    """`nmt adapt`: a model that has learnt from corrections."""

    corrections: Path
    """Lines of source <tab> corrected translation, relative to data.root."""

    takes: ClassVar[Takes] = {"model": (1, 1), "data": (1, 1)}
    gives = "model"
    reads = ("data.root",)

    def files(self, given: Ingredients) -> Named:
        """Name the corrections."""
        return [("corrections", (given.file(self.corrections),))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Learn from them."""
        options = {"output": output, "data": given.one("data")}
        return ["adapt", given.one("model"), str(given.file(self.corrections)), *options_of(options)]


class VocabularyStage(Stage):
    """`nmt vocabulary add`: a model that has more pieces, which it writes once it has been trained further."""

    pieces: tuple[str, ...] = ()
    """More pieces."""
    symbols: tuple[str, ...] = ()
    """More that are never cut and never merged."""
    text: Path | None = None
    """Text whose frequent words and unknown characters become pieces, relative to data.root."""
    limit: int | None = Field(default=None, ge=1)
    """Pieces to take from the text."""

    takes: ClassVar[Takes] = {"model": (1, 1)}
    gives = "model"
    reads = ("data.root", "data.on_bad_utf8")

    def files(self, given: Ingredients) -> Named:
        """Name the text."""
        if not (self.text or self.pieces or self.symbols):
            raise ConfigError("vocabulary adds pieces, symbols or those of a text, found none of them")
        return [("text", (given.file(self.text),))] if self.text else []

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Add the pieces."""
        options = {"output": output, **self.own("pieces", "symbols", "limit")}
        options |= {"from_text": self.text and given.file(self.text), "on_bad_utf8": given.settings.data.on_bad_utf8}
        return ["vocabulary", "add", given.one("model"), *options_of(options)]


class MemoryStage(Stage):
    """`nmt memory build`: a translation memory of pairs, for a model and all that read the same pieces."""

    pairs: tuple[str, ...] = Field(min_length=1)
    """Files of pairs, or patterns, relative to data.root."""

    takes: ClassVar[Takes] = {"model": (1, 1)}
    gives = "memory"
    reads = ("data.root", *(f"data.{name}" for name in _OF_MEMORY))

    def deciding(self, given: Ingredients) -> dict[str, dict[str, Any]]:
        """Return what finds the sides of a pair."""
        data = given.settings.data
        return {"data": {"src_lang": data.src_lang, "tgt_lang": data.tgt_lang}}

    def files(self, given: Ingredients) -> Named:
        """Name the pairs."""
        return [("pairs", find_files(given.settings.data.root, self.pairs, setting="pairs"))]

    def command(self, given: Ingredients, output: Path, recipe: Path) -> list[str]:
        """Build it."""
        [(_, files)] = self.files(given)
        options = {name: getattr(given.settings.data, name) for name in _OF_MEMORY}
        return ["memory", "build", given.one("model"), *map(str, files), *options_of({"output": output} | options)]


KINDS: Final[dict[str, type[Stage]]] = {
    "prepare": PrepareStage,
    "train": TrainStage,
    "average": AverageStage,
    "shortlist": ShortlistStage,
    "adapt": AdaptStage,
    "vocabulary": VocabularyStage,
    "memory": MemoryStage,
    "backtranslate": BacktranslateStage,
    "distil": DistilStage,
    "tune": TuneStage,
    "translate": TranslateStage,
    "score": ScoreStage,
}
"""What `do` of a stage may be: a new kind is a class above, and a line here."""
