"""A model that has learnt from corrections of its translations, in seconds.

A correction asks for other words. So nothing changes but the rows of the output layer of the pieces that differ between
the model's own translation and the corrected one; and a word that the tokenizer cuts into several becomes a piece of
its own, so that no other word has to change. Whole lines written anew would take all weights; for them there is
fine-tuning (`nmt.training.inheriting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from nmt.errors import DataError, ModelError, counted
from nmt.io.lines import OnBadUtf8, read_lines
from nmt.models.devices import choose_search_precision, prepare_for_search
from nmt.models.folder import load_model, load_own_tokenizers, refuse_used
from nmt.models.seq2seq import Seq2Seq
from nmt.prepared import PreparedData
from nmt.text.new_pieces import new_words
from nmt.text.tokenizer import Tokenizers
from nmt.training.alike import Beside
from nmt.training.growing import Enlarged
from nmt.training.lessons import Learner, Lesson
from nmt.training.observers import Scores


@dataclass(frozen=True)
class Correction:
    """What a model has made of a corrected line: its translations before and after, as its settings search for them."""

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
    new_pieces: tuple[str, ...]
    """Words that the tokenizer had cut into several pieces."""
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
    device = torch.device("cpu")
    prepare_for_search(device)
    model, settings = load_model(model_dir, device=device)
    if settings.model.right_to_left:
        raise ModelError(
            f"{model_dir} has model.right_to_left = true; corrections teach models that write to the right"
        )
    tokenizers = load_own_tokenizers(model_dir)
    if not _has_pieces_of(tokenizers, data.tokenizers):
        raise ModelError(f"{data.folder} was prepared with other tokenizers than those of {model_dir}")
    precision = choose_search_precision(settings.search.precision, device)
    learner = Learner(model, tokenizers, settings, data, precision)
    lessons = learner.lessons(corrections)
    larger = Enlarged(model, settings, tokenizers, {})
    if words := _new_words(learner, lessons):
        larger = Enlarged.of(model, settings, tokenizers, src=(), tgt=[f" {word}" for word in words], symbols=())
        assert isinstance(larger.model, Seq2Seq)
        learner = Learner(larger.model, larger.tokenizers, larger.settings, data, precision)
        targets = learner.encode(corrections)[1]
        lessons = [replace(lesson, tgt=tgt) for lesson, tgt in zip(lessons, targets, strict=True)]
    found, guard = _learn(learner, lessons)
    summary = {"corrections": len(found), "learnt": sum(one.learnt for one in found)}
    larger.write(out_dir, summary, parent=model_dir)
    return Adaptation(found, tuple(chain.from_iterable(larger.new.values())), guard)


def _has_pieces_of(tokenizers: Tokenizers, of_data: Tokenizers) -> bool:
    """Tell whether all ids of data mean the same pieces; those that tokenizers have beside them come after them."""
    sides = ((tokenizers.src.pieces, of_data.src.pieces), (tokenizers.tgt.pieces, of_data.tgt.pieces))
    return tokenizers.joint == of_data.joint and all(known[: len(pieces)] == pieces for known, pieces in sides)


def _new_words(learner: Learner, lessons: Sequence[Lesson]) -> list[str]:
    """Find the words that corrections ask for, and that are to be one new piece each: none where one other piece will
    do, such as another stem with the same ending.

    Where source and target share a tokenizer none stands in a source, which would be read as that piece; and in BPE
    other words would be cut at it, too.
    """
    tokenizer, joint = learner.tokenizers.tgt, learner.tokenizers.joint
    if joint and tokenizer.kind == "bpe":
        return []
    several = (one for one in lessons if not one.refused and any(len(change.new) > 1 for change in one.changes))
    asked = [tokenizer.decode([lesson.before, lesson.tgt]) for lesson in several]
    words = list(dict.fromkeys(word for before, after in asked for word in new_words(tokenizer, before, after)))
    if joint:
        sources = set(" ".join(tokenizer.decode([lesson.src for lesson in lessons])).split())
        words = [w for w in words if w not in sources and not Beside(learner.data).has_source_word(w)]
    return words


def _learn(learner: Learner, lessons: Sequence[Lesson]) -> tuple[tuple[Correction, ...], Guard]:
    """Let a model learn lessons, in place, and say what became of each."""
    asked = [lesson for lesson in lessons if not lesson.refused]
    watch = learner.guard(asked)
    before = after = learner.scores(watch, learner.loss(watch))
    ended = ""
    if asked:
        ended, loss = learner.learn(asked, watch, before.loss)
        after = learner.scores(watch, loss)
    found = list[Correction]()
    for lesson, row in zip(lessons, learner.translate([lesson.src for lesson in lessons]), strict=True):
        target, old, new = learner.tokenizers.tgt.decode([lesson.tgt, lesson.before, row])
        reason = lesson.refused or ("" if lesson.is_learnt(row) else ended)
        found.append(Correction(target, old, new, learnt=not reason, reason=reason))
    return tuple(found), Guard(len(watch.pairs.src), before, after)
