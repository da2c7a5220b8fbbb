"""A trained model with what surrounds it, and a translation as a job that worker processes share."""

import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from torch import nn

from nmt.config import SearchSettings, Settings
from nmt.errors import ConfigError, ModelError, NmtWarning
from nmt.io.arriving import FileLines, LineSource
from nmt.io.files import sha256
from nmt.io.lines import normaliser, sections_of
from nmt.markup.scanning import Region
from nmt.models.devices import choose_device, choose_search_precision, for_search, prepare_for_search
from nmt.models.folder import LEXICON, load_model, load_own_tokenizers
from nmt.models.prepacked import SearchPrecision
from nmt.models.seq2seq import Seq2Seq
from nmt.models.shortlisted import ShortlistedModel, ShortlistedOutput
from nmt.search.combined import Ensemble
from nmt.search.engine import Engine, Kind, start_of
from nmt.search.neighbours import Neighbour, NeighbourModel, Vote
from nmt.search.protocol import SearchableModel
from nmt.search.replay import recorder_for
from nmt.search.rules import Scoring
from nmt.shortlist.lexicon import Lexicon, load_lexicon
from nmt.text.tokenizer import Tokenizers, tokenizer_files
from nmt.translate.bayes_risk import BayesRisk, likeness_by
from nmt.translate.flow import Flow, OnLines, Translations, translate_source, whole_lines
from nmt.translate.helpers import Answer, Helper, Share
from nmt.translate.language import TargetLanguage
from nmt.translate.options import DEFAULT, Options
from nmt.translate.processing import LineProcessor
from nmt.translate.rescoring import Reordering, Rescorer, Rescoring
from nmt.translate.words import check_directed, check_tagged, check_words, continuing, forbid, opening
from nmt.translation_memory import TranslationMemory

if TYPE_CHECKING:
    from nmt.training.adapting import Adaptation

Precision = Literal["auto", "fp32", "bf16", "int8"]

_BLOCK = 4000
"""Lines whose sentences are sorted by length together."""

_BEAMS_AGAIN = 8
"""Hypotheses, at least, of a sentence that is searched again because it lost placeholders: there are enough for those
that have got fewer of them."""

_SHARED = {
    "model.reverse_source": "read in one direction",
    "model.right_to_left": "write in one direction",
    "data.lowercase": "read and write one case",
}
"""Settings in which the models of an ensemble agree, and why."""


@dataclass(frozen=True)
class Translator:
    """A trained model, or several, with what surrounds them; it keeps no state, so threads may share it.

    Example: `Translator.load(Path("models/en-fr")).translate(["A dog runs."])[0][0].text`
    """

    model: SearchableModel[Any, Any]
    tokenizers: Tokenizers
    settings: Settings
    shortlister: "Shortlister | None" = None
    language: TargetLanguage | None = None
    attends: bool = True
    """Whether a model says what it has read for each piece."""
    precision: SearchPrecision = "fp32"
    """In which its matrix products are computed."""
    memory: TranslationMemory | None = None
    """Pairs that it translates beside."""
    rescoring: "tuple[Translator, ...]" = ()
    """Models of the same direction that rescore what it finds."""
    reverse: "Translator | None" = None
    """A model from target to source, which rescores too."""

    @classmethod
    def load(
        cls,
        *folders: Path | str,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Precision | None = None,
        language_model: Path | str | None = None,
        memory: Path | str | None = None,
        rescoring: Sequence[Path | str] = (),
        reverse: Path | str | None = None,
        gpu: int = 0,
    ) -> Self:
        """Load a model folder, or an ensemble of several that share their vocabularies.

        On a CPU this sets torch to one thread: so no result depends on how work was shared out. Several processes, or
        several threads with a call each, use several cores.

        Args:
            folders: The models; settings and tokenizers are those of the first.
            precision: Arithmetic of the matrix products; None: what the settings say.
            language_model: Folder of a language model, which has a say in the translations: `search.lm_weight` says how
                much.
            memory: Folder of a translation memory, whose pairs have a say in those of similar sources; what is known
                exactly comes back as it stands there.
            rescoring: Folders of models, of whatever vocabulary and writing direction, that rescore what the search
                finds: `search.rescore_weight` says how much each counts.
            reverse: Folder of a model from target to source, which rescores too: `search.reverse_weight`.
            gpu: The number of the GPU, where there are several.

        Raises:
            ModelError: A folder is no model, is damaged, was written by a newer version, or does not fit the first.
            ConfigError: A GPU is asked for and there is none.
            DataError: The memory is none, is damaged, or was built for a model that reads other pieces.

        Warns:
            NmtWarning: The hardware lacks the precision; the nearest is used.
        """
        chosen = choose_device(device, index=gpu)
        prepare_for_search(chosen)
        paths = list(map(Path, folders))
        loaded = [load_model(path, device=chosen) for path in paths]
        first, settings = paths[0], loaded[0][1]
        for path, (_, other) in zip(paths[1:], loaded[1:], strict=True):
            if list(map(sha256, tokenizer_files(path))) != list(map(sha256, tokenizer_files(first))):
                raise ModelError(f"{path} has other tokenizers than {first}; the models of an ensemble share them")
            for name, shared in _SHARED.items():
                if (own := attrgetter(name)(other)) != attrgetter(name)(settings):
                    raise ConfigError(
                        f"{path} has {name} = {str(own).lower()}, {first} has the opposite; the models of an ensemble "
                        f"{shared}"
                    )
        arithmetic = choose_search_precision(precision or settings.search.precision, chosen)
        models = [for_search(model, arithmetic, device=chosen) for model, _ in loaded]
        tokenizers = load_own_tokenizers(first)
        load = partial(cls.load, device=device, precision=precision, gpu=gpu)
        beside: dict[str, Any] = {
            "rescoring": tuple(map(load, rescoring)),
            "reverse": load(reverse) if reverse else None,
        }
        language: TargetLanguage | None = None
        if language_model:
            language = TargetLanguage.load(
                Path(language_model), beside=first, settings=settings, device=chosen, precision=arithmetic
            )
        opened = TranslationMemory.open(Path(memory), settings=settings, tokenizers=tokenizers) if memory else None
        attending = sum(other.model.attention != "none" for _, other in loaded)
        if len(models) > 1:
            ensemble = Ensemble(models, attending=max(attending, 1))
            return cls(ensemble, tokenizers, settings, None, language, attending > 0, arithmetic, opened, **beside)
        shortlister = None
        if chosen.type == "cpu" and (first / LEXICON).exists():
            shortlister = Shortlister(load_lexicon(first), loaded[0][0].output, arithmetic)
        return cls(models[0], tokenizers, settings, shortlister, language, attending > 0, arithmetic, opened, **beside)

    @classmethod
    def adapt(
        cls, folder: Path | str, new_folder: Path | str, corrections: Sequence[tuple[str, str]], *, data: Path | str
    ) -> "tuple[Self, Adaptation]":
        """Write a model that has learnt from corrections, as `nmt adapt` does, and load it on a CPU.

        Returns:
            The translator of the new folder, and what became of each correction; see
            `nmt.training.adapting.adapt_model` for the arguments and the errors.
        """
        from nmt.prepared import PreparedData  # translating needs neither
        from nmt.training.adapting import adapt_model

        done = adapt_model(Path(folder), Path(new_folder), corrections, data=PreparedData.open(data))
        return cls.load(new_folder, device="cpu"), done

    def translate(
        self,
        lines: Sequence[str],
        options: Options = DEFAULT,
        *,
        first_line: int = 0,
        opened: Region | None = None,
        on_lines: OnLines = lambda lines, pieces: None,
    ) -> Translations:
        """Translate lines; a line's translations do not depend on the lines around it, but for what markup they open.

        A line of more pieces than `data.max_pieces` is cut after sentences or words, and its parts are translated one
        by one and joined by spaces: the n-th best of each to the n-th best of the line.

        Args:
            lines: One text each.
            first_line: The number of the first line: what is drawn at random depends on it.
            opened: What of the markup of a document is open before the first line.
            on_lines: Is told how many are translated, and how many pieces have been read.

        Returns:
            For each line, in order, its translations, best first: `n_best`, fewer where the model has no more to offer,
            and a single empty one for a blank line.

        Raises:
            ConfigError: An option is out of range, options exclude each other, or words are asked for that the model
                cannot write.
            ModelError: The model gives scores that are not finite numbers, or the language model reads other pieces
                than the model writes and is to choose them with it.
            TypeError: `lines` is a str, whose characters would be taken for lines.
        """
        if isinstance(lines, str):
            raise TypeError("translate takes a list of lines, found one str; write [text]")
        flow = self.flow(options, first_line=first_line, opened=opened)
        sections = chain.from_iterable(map(sections_of, lines))
        found = translate_source(flow, FileLines(sections), block=_BLOCK, on_lines=on_lines)
        blocks = whole_lines(found, markup=options.markup)
        return [translations for block in blocks for translations in block]

    def flow(self, options: Options = DEFAULT, *, first_line: int = 0, opened: Region | None = None) -> Flow:
        """Begin to translate lines that are still to come, as `translate` does."""
        if self.settings.data.lowercase and options.terms:
            options = options.model_copy(update={"terms": options.terms.without_case()})
        search = self._search(options)
        normalise = normaliser(self.settings.data)
        self._check(options, normalise)
        reordering = self._reordering(search, options)
        placeholders = self.settings.tokenizer.placeholders
        processor = LineProcessor(self.tokenizers, self.settings, options, self.memory)
        constrained = bool(options.required or options.terms)
        kind = Kind(
            n_best=options.mbr or (search.beam_size if reordering else options.n_best),
            sampling=options.sampling,
            with_attention=options.attention or bool(placeholders),
            allow_unknown=options.unknown is not None,
            with_prefixes=options.prefix_after_tab,
            constrained=constrained,
            continuing=continuing(self.tokenizers.tgt) if constrained else frozenset(),
            opening=opening(self.tokenizers.tgt) if constrained else {},
            copied=tuple(processor.copied.values()),
            weighed=self.language is not None and search.lm_weight > 0 and not options.lm_rescore,
        )
        if self.settings.model.right_to_left:
            check_directed(options, weighed=kind.weighed)
        if options.forbidden:
            words, device = list(map(normalise, options.forbidden)), self.model.device
            forbidden = forbid(self.tokenizers.tgt, words, placeholders=placeholders, device=device)
            kind = replace(kind, forbidden=forbidden)
        engine = self._engine(search, kind, tag=options.tag)
        again: Engine[Any, Any] | None = None
        if kind.copied and not (constrained or options.sampling):
            wider = search.model_copy(update={"beam_size": max(search.beam_size, _BEAMS_AGAIN), "shortlist": 0})
            again = self._engine(wider, replace(kind, constrained=True), tag=options.tag)
        linking: Engine[Any, Any] | None = None
        if self.attends and processor.known is not None and not kind.with_attention:
            linking = self._engine(search, replace(kind, with_attention=True), tag=options.tag)
        return Flow(processor, engine, again, linking, reordering=reordering, first_line=first_line, opened=opened)

    def _reordering(self, search: SearchSettings, options: Options) -> Reordering | None:
        """Return what puts the hypotheses of the search in a new order, if anything does."""
        rescorers = list[Rescorer]()
        if search.rescore_weight:
            rescorers += [Rescorer.of(one, search.rescore_weight, tag=options.tag) for one in self.rescoring]
        if self.reverse and search.reverse_weight:
            rescorers.append(Rescorer.of_reverse(self.reverse, search.reverse_weight, tag=options.tag))
        if rescorers:
            options.check_rescoring(search)
        if self.language and options.lm_rescore and search.lm_weight:
            rescorers.append(Rescorer.of_language(self.language, search.lm_weight))
        if options.mbr:
            return BayesRisk(likeness_by(options.utility, self.settings), self.tokenizers.tgt.decode, options.n_best)
        scoring = Scoring(search.length_penalty)
        return Rescoring(rescorers, self.tokenizers.tgt.decode, scoring, options.n_best) if rescorers else None

    def _search(self, options: Options) -> SearchSettings:
        """Return the settings of the search; on a GPU without a shortlist, which would gain nothing there."""
        search = options.search(self.settings)
        if search.shortlist and self.model.device.type == "cuda":
            warnings.warn(f"search.shortlist = {search.shortlist} is for CPUs; using 0", NmtWarning, 3)
            return search.model_copy(update={"shortlist": 0})
        return search

    def _check(self, options: Options, normalise: Callable[[str], str]) -> None:
        """Refuse what the model cannot do, and warn of what it does otherwise than might be expected."""
        if options.required or options.terms or options.forbidden:
            check_words(self.tokenizers.tgt, options, normalise)
        check_tagged(self.tokenizers.src, self.settings.data, options.tag)
        if not self.attends and (options.alignment or options.unknown is not None):
            asked = "word alignment" if options.alignment else "UNK replacement"
            raise ConfigError(f'{asked} needs attention, and the model has none (model.attention = "none")')
        if options.unknown == {} and self.tokenizers.tgt.kind != "word":
            warnings.warn(
                f"a model of pieces (tokenizer.kind = {self.tokenizers.tgt.kind}) hardly ever writes <unk>, so there "
                "is almost nothing to replace; words that its vocabulary lacks are copied (search.carry_unknown)",
                NmtWarning,
                3,
            )
        if self.settings.tokenizer.placeholders and not self.attends:
            warnings.warn(
                "a model without attention does not say where numbers and URLs go: those of a line are put back in the "
                "order of the source",
                NmtWarning,
                3,
            )

    def _engine(self, search: SearchSettings, kind: Kind, *, tag: str | None) -> Engine[Any, Any]:
        model = self.model
        if search.shortlist:
            if self.shortlister is None:
                raise ConfigError(
                    f"search.shortlist = {search.shortlist} needs what `nmt shortlist MODEL_DIR DATA_DIR` learns, and "
                    "a single model"
                )
            model = self.shortlister(model, search.shortlist)
        if self.memory is not None and search.memory_pairs:
            model = self._beside_memory(self.memory, search, tag=tag)
        if kind.weighed and self.language:
            model = self.language.fused(model, search.lm_weight)
        return Engine(
            model,
            start_of(search, kind),
            batch_tokens=search.batch_tokens,
            reverse_source=self.settings.model.reverse_source,
            right_to_left=self.settings.model.right_to_left,
            beams=max(search.beam_size, kind.n_best),
            recorder=recorder_for(self.model.device),
        )

    def _beside_memory(
        self, memory: TranslationMemory, search: SearchSettings, *, tag: str | None
    ) -> SearchableModel[Any, Any]:
        """Let pairs of a memory vote, beside each model of an ensemble; they get the tag that sentences have."""
        if search.shortlist:
            raise ConfigError(
                f"search.shortlist = {search.shortlist} lacks pieces that pairs of a memory may have; set it to 0"
            )
        before = tuple(self.tokenizers.src.encode([tag])[0]) if tag else ()
        count, least, step = search.memory_pairs, search.memory_least, -1 if self.settings.model.right_to_left else 1

        def find(ids: Sequence[int]) -> list[Neighbour]:
            found = memory.neighbours(ids[len(before) :], count=count, least=least)
            return [replace(pair, src=before + pair.src, tgt=pair.tgt[::step]) for pair in found]

        vote = Vote(search.memory_nearest, search.memory_reach, search.memory_weight)

        def beside(model: SearchableModel[Any, Any]) -> NeighbourModel:
            return NeighbourModel(cast(Seq2Seq, model), find, vote, reverse_source=self.settings.model.reverse_source)

        return self.model.changed(beside) if isinstance(self.model, Ensemble) else beside(self.model)


@dataclass(frozen=True)
class Shortlister:
    """Lets a model, made by `for_search` on a CPU, score a shortlist of pieces for each sentence."""

    lexicon: Lexicon
    output: nn.Linear
    """The model's output layer as it was trained."""
    precision: SearchPrecision

    def __call__(self, model: SearchableModel[Any, Any], size: int) -> ShortlistedModel:
        """Shorten the lists of `model` to `size` pieces."""
        return ShortlistedModel(cast(Seq2Seq, model), self._searched, choose=partial(self.lexicon.shortlist, size=size))

    @cached_property
    def _searched(self) -> ShortlistedOutput:
        """Made when it is first needed; threads that need it at once make the same."""
        return ShortlistedOutput(self.output, self.precision)


@dataclass(frozen=True)
class Job:
    """What translates, once it is loaded, and how."""

    load: Callable[[], Translator]
    options: Options
    workers: int = 1
    """Processes, this one included; the others are started when there is enough for them to do."""

    def translate(
        self, source: LineSource, *, block: int, on_lines: OnLines = lambda lines, pieces: None
    ) -> Generator[Translations, None, None]:
        """Translate all lines of a source; see `translate_source`. Close the generator when it is left early."""
        with self.flow() as flow:
            found = translate_source(flow, source, block=block, on_lines=on_lines)
            yield from whole_lines(found, markup=self.options.markup)

    @contextmanager
    def flow(self) -> Iterator[Flow]:
        """Load what translates, and begin; the processes that help end with the block."""
        translator = self.load()
        flow = translator.flow(self.options)
        flow.helpers = [self._helper(translator) for _ in range(self.workers - 1)]
        try:
            yield flow
        finally:
            for helper in flow.helpers:
                helper.stop()

    def _helper(self, translator: Translator) -> Helper:
        """Prepare a process that helps: a fork where that is safe, which has the model at once and in the same memory.

        It is where nothing that runs beside this thread holds a lock that the search needs: torch has no threads of
        its own, as `Translator.load` asks for one, and neither the reader of stdin nor a progress bar uses torch.
        """
        if sys.platform == "linux" and translator.model.device.type == "cpu":
            return Helper(partial(self.start, lambda: translator), get_context("fork"))
        return Helper(partial(self.start, self.load), get_context("spawn"))

    def start(self, load: Callable[[], Translator]) -> Callable[[Share], Answer]:
        """Return, in a process that helps, what searches there."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NmtWarning)  # the process that it helps has the same to say
            return load().flow(self.options).search
