"""A model that has learnt from corrections of its translations, in seconds.

A correction asks for other words. So nothing changes but the rows of the output layer of the pieces that differ between
the model's own translation and the corrected one. Whole lines written anew would take all weights; for them there is
fine-tuning (`nmt.training.inheriting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import torch

from nmt.errors import DataError, ModelError, counted
from nmt.io.files import building, sha256
from nmt.io.lines import OnBadUtf8, read_lines
from nmt.models.build import count_parameters
from nmt.models.folder import ModelFolder, Vocabularies, load_model, load_own_tokenizers, refuse_used
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.text.tokenizer import tokenizer_files
from nmt.training.inheriting import lineage
from nmt.training.lessons import Learner
from nmt.training.observers import Scores
from nmt.training.translation import Validator


@dataclass(frozen=True)
class Correction:
    """What a model has made of a corrected line: its greedy translations before and after."""

    target: str
    before: str
    after: str
    learnt: bool
    """Whether the corrected words stand in the translation now, and not those that they replace."""
    reason: str
    """Why nothing was to be learnt, or it was not learnt; empty: it was."""


@dataclass(frozen=True)
class Guard:
    """What was watched: validation pairs whose targets hold none of the replaced words."""

    pairs: int
    before: Scores
    after: Scores


@dataclass(frozen=True)
class Adaptation:
    """What corrections have done to a model."""

    corrections: tuple[Correction, ...]
    guard: Guard


def read_corrections(path: Path, on_bad_utf8: OnBadUtf8 = "error") -> list[tuple[str, str]]:
    """Read lines of source <tab> corrected target; blank ones are left out, and any other line is a DataError."""
    pairs = list[tuple[str, str]]()
    for number, line in enumerate(read_lines(path, on_bad_utf8), start=1):
        columns = line.split("\t")
        if not line.strip():
            continue
        if len(columns) != 2 or not all(map(str.strip, columns)):
            filled = sum(1 for column in columns if column.strip())
            raise DataError(
                f"{path}, line {number}: found {counted(filled, 'column')} with text of {len(columns)}, "
                "expected 2: source <tab> corrected target"
            )
        pairs.append((columns[0], columns[1]))
    if not pairs:
        raise DataError(f"{path} holds no corrections; expected lines of source <tab> corrected target")
    return pairs


def adapt_model(
    model_dir: Path, out_dir: Path, corrections: Sequence[tuple[str, str]], *, data: PreparedData
) -> Adaptation:
    """Write a model that has learnt from corrections to a new folder; the old one stays as it is.

    Args:
        out_dir: A folder that is new or empty; it appears when all is done.
        corrections: Sources and their corrected targets.
        data: What the model was trained on, or text of the same kind, prepared with its tokenizers.

    Raises:
        ModelError: A folder cannot be used, the model is a language model, or the data are of other tokenizers.
        DataError: No validation pair is left to guard.
    """
    refuse_used(out_dir)
    model, settings = load_model(model_dir, device=torch.device("cpu"))
    tokenizers = load_own_tokenizers(model_dir)
    if list(map(sha256, tokenizer_files(data.folder))) != list(map(sha256, tokenizer_files(model_dir))):
        raise ModelError(f"{data.folder} was prepared with other tokenizers than those of {model_dir}")
    done = _learn(Learner(model.eval(), tokenizers, settings, data), corrections)
    summary: dict[str, object] = {
        "corrections": len(done.corrections),
        "learnt": sum(one.learnt for one in done.corrections),
        "parameters": count_parameters(model),
        "parents": lineage(model_dir),
    }
    sizes = Vocabularies(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)
    with building(out_dir) as folder:
        written = ModelFolder(folder, settings=settings, vocabularies=sizes, tokenizers=tokenizers.files)
        written.create()
        written.save(model, summary)
    return done


def _learn(learner: Learner, corrections: Sequence[tuple[str, str]]) -> Adaptation:
    """Let a model learn corrections, in place, and say what became of each."""
    lessons = learner.lessons(corrections)
    asked = [lesson for lesson in lessons if not lesson.refused]
    watch = learner.guard(asked)
    before = after = _scores(watch, learner.model)
    ended = ""
    if asked:
        ended = learner.learn(asked, watch)
        after = _scores(watch, learner.model)
    found = list[Correction]()
    for lesson, row in zip(lessons, learner.translate([lesson.src for lesson in lessons]), strict=True):
        target, old, new = learner.tokenizers.tgt.decode([lesson.tgt, lesson.before, row])
        reason = lesson.refused or ("" if lesson.is_learnt(row) else ended)
        found.append(Correction(target, old, new, learnt=not reason, reason=reason))
    return Adaptation(tuple(found), Guard(len(watch.pairs.src), before, after))


def _scores(watch: Validator, model: Seq2Seq) -> Scores:
    scores = watch(model, Event())
    assert scores is not None  # nobody asks it to stop
    model.eval()
    return scores
