"""How long the stages of a recipe will take: each is done in miniature, with what stands in for results to come."""

import json
import math
import random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from nmt.config import Settings
from nmt.config.load import change_settings, to_recipe, to_tree
from nmt.corpus.plain import TextFiles
from nmt.errors import NmtError
from nmt.graph.miniature import Cut, imitate, prepare_some, read_some, save_untrained
from nmt.graph.order import StageNode
from nmt.graph.records import State, look, made_from, place_of
from nmt.graph.stage import Ingredients
from nmt.graph.stage_kinds import PrepareStage, ShortlistStage, TrainStage
from nmt.graph.translating_kinds import WEIGHED, BacktranslateStage, DistilStage, ScoreStage, TranslateStage, TuneStage
from nmt.io.limits import usable_cores
from nmt.io.lines import Pair
from nmt.models.folder import LEXICON, read_settings
from nmt.prepared import PreparedData, PreparedText, open_data
from nmt.search.sampling import Sampling
from nmt.shortlist.learn import PAIRS
from nmt.synthesis.judging import Agreement
from nmt.training.observers import Silence
from nmt.training.resolve import resolve_settings
from nmt.training.trainer import rehearse
from nmt.translate import Options, Translator
from nmt.tuning import plan_for

_T = TypeVar("_T")
Run = Callable[[list[str], Path | None], None]
_ByModels = TranslateStage | TuneStage | BacktranslateStage | DistilStage

_PREPARED: Final = 6000
"""Pairs, or lines, of data that stand in for others."""
_STEPS: Final = 1.2
"""Seconds of updates that are timed."""
_BLOCKS: Final = (16, 16, 64, 256)
"""Lines that are translated one block after the other; the first makes libraries ready. What counts is how much longer
the last takes than the one before: that is as fast as lines are translated in the large blocks of a text."""
_LONGEST: Final = 3.0
"""Seconds that another block may take."""
_PENALTY: Final = 0.35
"""Part of the length penalty with which the beam of an untrained model ends as soon as that of a trained one. It has to
follow its hypotheses until the penalty of the longest translation makes up for no more pieces, and all its pieces are
as improbable: a trained one follows those that go on behind a good end, which are far less probable."""
_READ: Final = (100, 1000)
"""Pairs that a lexicon is learnt from."""
_SCORED: Final = 200
"""Lines of a reference."""
_IDLE: Final = {"seed", "max_epochs", "parent", "learning_rate", "warmup_steps", "schedule", "patience"}
"""Settings of a training on which the time of a step does not depend."""


@dataclass(frozen=True)
class StageForecast:
    """What is known beforehand of the time of a stage."""

    seconds: float | None
    """None: nothing."""
    why: str = ""
    """Why it is not known."""
    at_most: bool = False
    """Whether a training may stop early."""


def foretell_stages(
    nodes: Sequence[StageNode], load: Callable[[Path], Sequence[StageNode]], run: Run
) -> Generator[tuple[StageNode, State, StageForecast], None, None]:
    """Tell of stages, in their order, whether they are done, else how long they will take; nothing of them is done.

    Args:
        load: Gives the same stages, with results in another folder: there they are done in miniature.
        run: Does what the arguments of `nmt` say, and puts what is printed into a file; an NmtError says why it cannot.
    """
    undone = set[str]()
    with TemporaryDirectory() as name:
        rehearsal = _Rehearsal(Path(name), run)
        twins = {twin.name: twin for twin in load(Path(name))}
        for node in nodes:
            state, twin = look(node, undone), twins[node.name]
            if state.is_done:
                twin.result.symlink_to(node.result.absolute())
                yield node, state, StageForecast(0.0)
                continue
            at_hand = not any(need.name in undone for need in node.needs)
            found = rehearsal.foretell(twin, place_of(node, made_from(node)) if at_hand else twin.result)
            if found.seconds is None and state.record and state.record.digest:
                found = StageForecast(state.record.seconds, "as long as the last time")
            undone.add(node.name)
            yield node, state, found


class _Rehearsal:
    """Foretells the stages of a recipe, one after the other in their order, and leaves what stands in for results.

    What has been timed is not timed again for a stage that computes the same.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run
        self._known: dict[Path, float] = {}
        """Lines that a file will have for which another stands in."""
        self._growth: dict[Path, float] = {}
        """How many times larger data will be than those that stand in for them."""
        self._examples: dict[Path, list[tuple[str, str]]] = {}
        """Lines and translations of them, by models."""
        self._timed: dict[str, float] = {}
        self._models: dict[str, Path] = {}
        self._untrained: set[Path] = set()
        self._failed: set[str] = set()

    def foretell(self, node: StageNode, place: Path) -> StageForecast:
        """Say how long a stage will take that is made in `place`, and leave what stands in for its result."""
        if failed := [need.name for need in node.needs if need.name in self._failed]:
            return self._fail(node, f"unknown before {', '.join(failed)}")
        try:
            if isinstance(node.stage, TrainStage):
                return self._train(node, place)
            if isinstance(node.stage, PrepareStage):
                return StageForecast(self._prepare(node))
            if isinstance(node.stage, TranslateStage | BacktranslateStage | DistilStage):
                return StageForecast(self._translate(node, node.stage))
            if isinstance(node.stage, TuneStage):
                return StageForecast(self._tune(node, node.stage))
            if isinstance(node.stage, ShortlistStage):
                return StageForecast(self._shortlist(node, node.stage))
            if isinstance(node.stage, ScoreStage):
                return StageForecast(self._score(node, node.stage))
        except NmtError as error:
            return self._fail(node, f"unknown: {error}")
        if node.gives == "model":
            node.result.symlink_to(node.given.inputs["model"][0].resolve())
            self._take_after(node)
            return StageForecast(None, "unknown: nothing of it can be timed beforehand")
        return self._fail(node, "unknown: nothing of it can be timed beforehand")

    def _take_after(self, node: StageNode) -> None:
        """Note that a model translates as the one that it is a copy of."""
        [model] = node.given.inputs["model"]
        if model in self._untrained:
            self._untrained.add(node.result)
            self._examples[node.result] = self._examples[model]

    def _fail(self, node: StageNode, why: str) -> StageForecast:
        self._failed.add(node.name)
        return StageForecast(None, why)

    def _prepare(self, node: StageNode) -> float:
        """Prepare some of the text, and once more with the tokenizer that is known by then; and a part of that."""
        cut = Cut.write(node.settings, self._folder / f"{node.name}.text", self._known, most=_PREPARED)
        whole = _seconds(partial(prepare_some, node.result, cut))
        tokenizer = {"file": node.result, "src_file": None, "tgt_file": None}
        known = cut.settings.tokenizer.model_copy(update=tokenizer)
        again = cut._replace(settings=cut.settings.model_copy(update={"tokenizer": known}))
        fewer = Cut.write(again.settings, self._folder / f"{node.name}.less", self._known, most=cut.records // 5)
        most, least = (
            _seconds(partial(prepare_some, self._folder / f"{node.name}.{one.records}", one)) for one in (again, fewer)
        )
        total, growth = cut.records / cut.share, 1 / cut.share
        pace = max(0.0, most - least) / max(1, cut.records - fewer.records)
        learnt = min(total, node.settings.tokenizer.max_training_lines) / max(1, cut.records)
        self._growth[node.result] = growth
        return max(0.0, whole - most) * learnt + most + pace * (total - cut.records)

    def _train(self, node: StageNode, model_dir: Path) -> StageForecast:
        """Time some steps of a run that has as many of them, on data that may stand in for more."""
        [data_dir], parents = node.given.inputs["data"], node.given.inputs.get("model", [])
        data, growth = open_data(data_dir), self._growth.get(data_dir, 1.0)
        recipe = self._folder / f"{node.name}.toml"
        recipe.write_text(to_recipe(node.settings, node.stage.sections), encoding="utf-8")
        settings, _ = resolve_settings(
            data.settings,
            model_dir,
            recipe=recipe,
            overrides=[f"training.parent={json.dumps(str(parent))}" for parent in parents],
            corpus=replace(data.size, pieces=round(data.size.pieces * growth)),
            tokenizers=data.tokenizers,
        )
        epochs = math.ceil(settings.training.max_epochs * growth)
        longer = change_settings(settings, "training", {"max_epochs": epochs})
        seconds = self._time_steps(data, longer, model_dir)
        self._stand_in(node.result, settings, data)
        return StageForecast(seconds, at_most=settings.training.patience > 0)

    def _time_steps(self, data: PreparedData | PreparedText, settings: Settings, model_dir: Path) -> float:
        training = settings.training
        pieces = 1.0 if training.max_steps or training.time else data.size.pieces * training.max_epochs
        tree = to_tree(settings, only_set=False)
        shape = {name: value for name, value in tree["training"].items() if name not in _IDLE}
        key = json.dumps([tree["model"], shape, len(data.tokenizers.src), len(data.tokenizers.tgt)])
        if key in self._timed and not model_dir.exists():
            return self._timed[key] * pieces
        found = rehearse(data, model_dir, settings, observer=Silence(), seconds=_STEPS)
        seconds = found[1].seconds if found else 0.0
        if not model_dir.exists():
            self._timed[key] = seconds / pieces
        return seconds

    def _stand_in(self, model_dir: Path, settings: Settings, data: PreparedData | PreparedText) -> None:
        """Save an untrained model, unless one of these settings is there."""
        key = json.dumps([_shape(settings), *map(hash, data.tokenizers.files.values())])
        if key in self._models:
            model_dir.symlink_to(self._models[key])
        else:
            save_untrained(model_dir, settings, data)
            self._models[key] = model_dir
        self._untrained.add(model_dir)
        sides = (data.valid.src_texts, data.valid.tgt_texts) if isinstance(data, PreparedData) else ([], [])
        self._examples[model_dir] = list(zip(*sides, strict=True))

    def _translate(self, node: StageNode, stage: TranslateStage | BacktranslateStage | DistilStage) -> float:
        """Time the translation of some lines, and make up that of others."""
        lines, count = self._text_of(node, stage)
        seconds = self._time_models(node, stage, lines, count, workers=stage.workers)
        made = imitate(self._examples[node.given.inputs["model"][0]], lines)
        if isinstance(stage, BacktranslateStage) and len(node.given.inputs["model"]) > 1:
            pairs = [Pair(other, line, "", 0) for line, other in zip(lines, made, strict=True)]
            seconds += self._time_judging(node, stage, pairs, count)
        with node.result.open("w", encoding="utf-8", newline="") as file:
            for line, other in zip(lines, made, strict=True):
                sides = {"text": (other,), "pairs": (line, other)}[node.gives]
                file.write("\t".join(sides[:: -1 if isinstance(stage, BacktranslateStage) else 1]) + "\n")
        self._known[node.result] = count
        return seconds

    def _tune(self, node: StageNode, stage: TuneStage) -> float:
        """Time the translation of some lines, which are translated as often as the plan says at most."""
        lines, count = self._text_of(node, stage)
        tuned = ["length_penalty", *(["lm_weight"] if "language model" in node.given.inputs else [])]
        tuned += [weight for weight, key in WEIGHED.items() if node.given.beside(key)]
        return self._time_models(node, stage, lines, plan_for(dict.fromkeys(tuned)).most * count)

    def _time_models(
        self, node: StageNode, stage: _ByModels, lines: Sequence[str], count: float, *, workers: int = 1
    ) -> float:
        """Return the seconds that the models of a stage take to be loaded, and for so many lines such as these."""
        given = node.given
        models = given.inputs["model"][: 1 if isinstance(stage, BacktranslateStage) else None]
        language, reverse = given.all("language model"), given.beside("reverse_model")
        rescoring = [*given.beside("right_to_left"), *given.beside("rescore")]
        search = dict(stage.deciding(given)["search"])
        begun = time.perf_counter()
        translator = Translator.load(
            *models,
            device=given.settings.training.device,
            precision=search.pop("precision", None),
            language_model=language[0] if language else None,
            rescoring=rescoring,
            reverse=reverse[0] if reverse else None,
        )
        loaded = time.perf_counter() - begun
        options = Options(**search)
        if isinstance(stage, TranslateStage | TuneStage):
            options = options.model_copy(update={"tag": stage.tag_of(given), "lm_rescore": stage.lm_rescore})
        else:
            options = options.model_copy(update={"tag": stage.tag})
        if isinstance(stage, BacktranslateStage) and stage.sample:
            options = options.model_copy(update={"sampling": Sampling(top_k=stage.top_k or 0)})
        pace = self._time_lines(translator, options, lines, [*models, *language, *rescoring, *reverse])
        characters = count * sum(map(len, lines)) / max(1, len(lines))
        return loaded + pace * characters / min(workers, usable_cores())

    def _time_judging(self, node: StageNode, stage: BacktranslateStage, pairs: Sequence[Pair], count: float) -> float:
        """Return the seconds that the second model takes to be loaded, and both to judge so many pairs such as these;
        one process does that, however many translate."""
        models = node.given.inputs["model"]
        precision = stage.deciding(node.given)["search"].get("precision")
        load = partial(Translator.load, device=node.settings.training.device, precision=precision)
        backward = load(models[0])
        begun = time.perf_counter()
        forward = load(models[1])
        loaded = time.perf_counter() - begun
        key = json.dumps(["judged", forward.precision, *map(_size_of, models)])
        if key not in self._timed:
            agreement = Agreement.of(forward, backward, tag=stage.tag, forward_tag=stage.forward_tag)
            self._timed[key] = _pace(pairs, agreement.disagreements, lambda pair: len(pair.tgt))
        return loaded + self._timed[key] * count * sum(len(pair.tgt) for pair in pairs) / max(1, len(pairs))

    def _text_of(self, node: StageNode, stage: _ByModels) -> tuple[list[str], float]:
        given, path = node.given, stage.text_of(node.given)
        if path is None:
            [folder] = given.inputs["data"]
            prepared = PreparedData.open(folder)
            return prepared.valid.src_texts, len(prepared.train_src) * self._growth.get(folder, 1.0)
        records, count = read_some(TextFiles([path], node.settings.data.on_bad_utf8), self._known)
        return [record.text for record in records], count

    def _time_lines(
        self, translator: Translator, options: Options, lines: Sequence[str], models: Sequence[Path]
    ) -> float:
        """Return the seconds that a character of a source takes; of a finished model, keep what it has translated."""
        is_new = models[0] not in self._examples
        search = options.model_dump(mode="json", exclude={"tag"})
        key = json.dumps([[*map(_size_of, models)], translator.precision, search], default=str)
        if key in self._timed and not is_new:
            return self._timed[key]
        if models[0] in self._untrained:
            penalty = _PENALTY * options.search(translator.settings).length_penalty
            options = options.model_copy(update={"length_penalty": penalty})
        known = list[tuple[str, str]]()

        def translate(some: Sequence[str]) -> None:
            nonlocal known
            found = translator.translate(some, options)
            known = [(line, best.text) for line, (best, *_) in zip(some, found, strict=True)]

        pace = _pace(lines, translate, len)
        if is_new:
            self._examples[models[0]] = known or [("", "")]
        self._timed[key] = pace
        return pace

    def _shortlist(self, node: StageNode, stage: ShortlistStage) -> float:
        """Learn a lexicon from a model that knows nothing, of few pairs and of more."""
        [data], seconds = node.given.inputs["data"], list[float]()
        for pairs, place in zip(_READ, (self._folder / f"{node.name}.less", node.result), strict=True):
            command = stage.model_copy(update={"pairs": pairs}).command(node.given, place, Path())
            seconds.append(_seconds(partial(self._run, command, None)))
        self._take_after(node)
        pace = max(0.0, seconds[1] - seconds[0]) / (_READ[1] - _READ[0])
        read = len(PreparedData.open(data).train_src) * self._growth.get(data, 1.0)
        return seconds[0] + pace * (min(read, stage.pairs or PAIRS) - _READ[0])

    def _score(self, node: StageNode, stage: ScoreStage) -> float:
        """Score some lines of the reference that have lost every fifth word."""
        reference = stage.reference_of(node.given)
        records, count = read_some(TextFiles([reference], node.settings.data.on_bad_utf8), self._known)
        some = [record.text for record in records[:: max(1, len(records) // _SCORED)]]
        files = [self._folder / f"{node.name}.{side}" for side in ("reference", "text")]
        changed = [" ".join(word for place, word in enumerate(line.split()) if place % 5) for line in some]
        for path, lines in zip(files, (some, changed), strict=True):
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        given = Ingredients(node.settings, {"text": files[1:]})
        command = stage.model_copy(update={"reference": files[0].absolute()}).command(given, node.result, Path())
        key, texts = f"{reference} {node.settings.training.bleu_tokenizer}", len(node.given.inputs["text"])
        if key not in self._timed:
            self._timed[key] = _seconds(partial(self._run, command, node.result)) * count / max(1, len(some))
        return self._timed[key] * texts


def _pace(items: Sequence[_T], work: Callable[[Sequence[_T]], object], characters: Callable[[_T], int]) -> float:
    """Return the seconds that work takes for a character of what it is done for."""
    some, timed, done = random.Random(1).sample(items, len(items)), [(0.0, 0)], 0
    for size in _BLOCKS:
        if len(timed) > 2 and size * timed[-1][0] > _LONGEST * done:
            break
        block = some[:size]
        done = len(block)
        timed.append((_seconds(partial(work, block)), sum(map(characters, block))))
    (less, fewer), (more, most) = timed[-2:]
    if most == fewer:  # these are all that there are
        less, fewer = 0.0, 0
    return max(more - less, more / 3) / max(1, most - fewer)


def _shape(settings: Settings) -> dict[str, object]:
    """Return what the time depends on that a model takes which is not trained."""
    model = to_tree(settings, only_set=False)["model"]
    return {name: value for name, value in model.items() if not name.endswith("dropout")}


def _size_of(model: Path) -> list[object]:
    """Return what the time depends on that a model takes to translate."""
    return [_shape(read_settings(model)), (model / LEXICON).exists()]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
