"""The stages of `nmt run` after training: the test text translated and scored, or read by a language model.

Each is only done when it has to be.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from nmt.config import Settings
from nmt.errors import ConfigError
from nmt.io.files import make_folder, sha256, write_text
from nmt.io.lines import read_lines
from nmt.lm.scorer import LanguageScorer, Totals
from nmt.metrics import Score, ScoreOptions, score_lines, tokenizer_for
from nmt.models.folder import WEIGHTS, read_settings
from nmt.prepare.inputs import find_test
from nmt.text.tokenizer import load_tokenizers
from nmt.translate import Options, Translator
from nmt.translate.words import check_tag

DATA, MODEL, TEST = "data", "model", "test"
"""Folders of a run's working folder: prepared data, the model, translations of the test text with their scores."""

HYPOTHESES, STAMP, SCORES = "hypotheses.txt", "made-from.json", "scores.json"

_TOTALS: Final = {"words" if field.name == "pieces" else field.name: field.name for field in fields(Totals)}
"""The fields of `Totals` by their names in the file, which has always called pieces words."""


def find_test_texts(settings: Settings) -> tuple[Path, ...]:
    """Return the test files that the settings name, relative ones from `data.root`; none, if they name none.

    They are source and target, or the one text of a language model; names of another kind are a ConfigError.
    """
    data = settings.data
    if not data.train_text:
        if data.test_text is not None:
            raise ConfigError("data.test_text is the test text of a language model, but data.train_text is not set")
        return find_test(data) or ()
    if data.test_src is not None or data.test_tgt is not None or data.test_tag is not None:
        raise ConfigError("data.test_src, _tgt and _tag are for translation; a language model has data.test_text")
    return () if data.test_text is None else (data.root / data.test_text,)


def check_test_tag(data_dir: Path, settings: Settings) -> None:
    """Refuse, before the training, a tag of the test text that the tokenizer of these data lacks: a ConfigError."""
    try:
        if settings.data.test_tag is not None:
            check_tag(load_tokenizers(data_dir).src, settings.data.test_tag)
    except ConfigError as error:
        raise ConfigError(f"data.test_tag: {error}") from error


def translate_test(
    model_dir: Path, src: Path, test_dir: Path, settings: Settings, *, on_lines: Callable[[int, int], None]
) -> tuple[Path, bool]:
    """Translate the test source with its tag, unless that has been done with the same model, text and settings.

    Search settings that are not set are the model's. `on_lines` is told how many lines of how many are done. Returns
    the file of translations, one per line, and whether it was made now.
    """
    hypotheses, stamp = test_dir / HYPOTHESES, test_dir / STAMP
    search = read_settings(model_dir).search.model_copy(update=settings.search.model_dump(exclude_unset=True))
    made_from = {
        "model": sha256(model_dir / WEIGHTS),
        "source": sha256(src),
        "tag": settings.data.test_tag,
        "search": search.model_dump(mode="json"),
    }
    if hypotheses.exists() and _read_json(stamp) == {**made_from, "hypotheses": sha256(hypotheses)}:
        return hypotheses, False
    lines = list(read_lines(src, on_bad_utf8=settings.data.on_bad_utf8))
    translator = Translator.load(model_dir, device=settings.training.device, precision=search.precision)
    options = Options(**search.model_dump(exclude={"precision"}), tag=settings.data.test_tag)
    found = translator.translate(lines, options, on_lines=lambda done, _: on_lines(done, len(lines)))
    texts = [translations[0].text for translations in found]
    make_folder(test_dir)
    write_text(hypotheses, "".join(text + "\n" for text in texts))
    write_text(stamp, json.dumps({**made_from, "hypotheses": sha256(hypotheses)}, indent=2) + "\n")
    return hypotheses, True


def score_test(hypotheses: Path, tgt: Path, settings: Settings) -> tuple[Score, ...]:
    """Score translations against the test target, and keep the scores beside them."""
    references = list(read_lines(tgt, on_bad_utf8=settings.data.on_bad_utf8))
    scoring = ScoreOptions(tokenizer=tokenizer_for(settings, references), lowercase=settings.data.lowercase)
    scores = score_lines(list(read_lines(hypotheses)), references, scoring)
    records = [{"metric": one.name, "score": one.score, "signature": one.signature} for one in scores]
    write_text(hypotheses.with_name(SCORES), json.dumps(records, indent=2) + "\n")
    return scores


def read_test(model_dir: Path, text: Path, test_dir: Path, settings: Settings) -> Totals:
    """Score a test text with a language model that carries its state through the whole text.

    That is not done again if `test_dir` holds the totals of the same model on the same text.
    """
    kept, made_from = test_dir / SCORES, {"model": sha256(model_dir / WEIGHTS), "text": sha256(text)}
    match _read_json(kept):
        case {"made_from": before, "totals": {**found}} if before == made_from and found.keys() == _TOTALS.keys():
            with suppress(ValidationError):  # a damaged file: the text is read again
                named = {_TOTALS[str(name)]: value for name, value in found.items()}
                return TypeAdapter(Totals).validate_python(named)
    scorer = LanguageScorer.load(model_dir, device=settings.training.device)
    totals = Totals().plus(scorer.score_text(list(read_lines(text, on_bad_utf8=settings.data.on_bad_utf8))))
    make_folder(test_dir)
    values = dict(zip(_TOTALS, asdict(totals).values(), strict=True))
    record = {"perplexity": totals.perplexity, "totals": values, "made_from": made_from}
    write_text(kept, json.dumps(record, indent=2) + "\n")
    return totals


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
