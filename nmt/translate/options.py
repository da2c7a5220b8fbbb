"""How lines are to be translated."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from pydantic import ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from nmt.config import SearchSettings, Settings, change_settings
from nmt.config.load import describe_misfit
from nmt.errors import ConfigError, UsageError
from nmt.markup import Region, left_open
from nmt.search.sampling import Sampling
from nmt.shortlist.lexicon import MULTIPLE
from nmt.terms import Terminology


class Options(SearchSettings):
    """What a user asks of the translation of lines; the defaults ask for the best translation that the model knows.

    Settings of the search can be given by name; for those that are not, the model's own hold, whatever their defaults
    here say: `search` puts them together.

    Raises:
        UsageError: A value is out of range.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    n_best: int = 1
    """Translations of each line, at most the beam size; samples, where `sampling` says so."""
    lm_rescore: bool = False
    """Let the language model, if there is one, put the hypotheses of the beam in order when they are finished, instead
    of choosing their words too."""
    sampling: Sampling | None = None
    """Draw translations at random instead of searching for the best, without `beam_size` and `coverage_penalty`."""
    alignment: bool = False
    """Say which words belong together, which a model without attention cannot."""
    details: bool = False
    """Give the pieces of both sides, the attention between them, zero in a model without, and which words belong
    together by it, then none."""
    unknown: Mapping[str, str] | None = None
    """Let the model say that it does not know a word, and put the source word or its translation in here instead; what
    is carried over is looked up in here too."""
    document: bool = False
    """A line is a paragraph, whose sentences are translated one by one."""
    markup: bool = False
    """Lines are those of a document. Tags, placeholders, format codes and code come out as they went in, beside the
    words that the attention says or, in a model without, at the same share of the line; see `nmt.markup.scanning`."""
    tag: str | None = None
    """A piece such as "<news>" that is put before each sentence, as before those of a corpus in training."""
    keep: re.Pattern[str] | None = None
    """With `markup`: other spans that come out as they went in."""
    terms: Terminology | None = None
    """Words that have to appear because their source terms do."""
    required: tuple[str, ...] = ()
    """Words that have to appear in every translation."""
    forbidden: tuple[str, ...] = ()
    """Words that may appear in none, as whole words; what is copied from the source is not looked at."""
    prefix_after_tab: bool = False
    """What follows a tab in a line is how its translation has to begin."""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_what_is_out_of_range(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise UsageError(f"settings: {describe_misfit(error, 'search.')}") from error

    @property
    def attention(self) -> bool:
        """Whether it has to be known what was read for each word."""
        return self.alignment or self.details or self.markup or self.unknown is not None

    def text_of(self, line: str) -> tuple[str, str]:
        """Cut a line into what is to be translated and how its translation has to begin."""
        text, _, prefix = line.partition("\t") if self.prefix_after_tab else (line, "", "")
        return text, prefix

    def left_open(self, lines: Iterable[str], opened: Region | None) -> Region | None:
        """Return what of a document's markup is open behind lines, given what was open before them."""
        return left_open((self.text_of(line)[0] for line in lines), opened, self.keep) if self.markup else None

    def refuse_without_attention(self) -> None:
        """Refuse what only attention can say.

        Raises:
            ConfigError: It is asked for.
        """
        asked = "which words belong together" if self.alignment else "which source word an unknown one stands for"
        if self.alignment or self.unknown is not None:
            raise ConfigError(f'{asked} is read from attention, and the model has none (model.attention = "none")')

    def search(self, settings: Settings) -> SearchSettings:
        """Return the settings of the search: these where they say something, else those of the model.

        Raises:
            UsageError: One is out of range, or they exclude each other.
        """
        chosen = self.model_dump(include=set(SearchSettings.model_fields), exclude_unset=True)
        try:
            search = change_settings(settings, "search", chosen).search
        except ConfigError as error:
            raise UsageError(str(error)) from error
        self._check(search)
        return search

    def _check(self, search: SearchSettings) -> None:
        """Refuse what excludes each other, or has to be said elsewhere."""
        if "precision" in self.model_fields_set:
            raise UsageError(f"search.precision = {self.precision} is chosen when a model is loaded; say it there")
        if self.n_best < 1 or (self.n_best > search.beam_size and not self.sampling):
            raise UsageError(
                f"{self.n_best} translations of each line were asked for, but search.beam_size = {search.beam_size} "
                f"gives 1 to {search.beam_size}"
            )
        if self.sampling:
            self._check_sampling()
        if self.lm_rescore and search.beam_size == 1:
            raise UsageError(
                "search.beam_size = 1 leaves nothing to put in order by a language model: give it 2 or more"
            )
        if search.min_length_ratio > search.max_length_ratio:
            raise UsageError(
                f"search.min_length_ratio = {search.min_length_ratio} is above "
                f"search.max_length_ratio = {search.max_length_ratio}"
            )
        if search.shortlist % MULTIPLE:
            raise UsageError(f"search.shortlist = {search.shortlist}: expected a multiple of {MULTIPLE}, or 0")
        if search.shortlist and (self.prefix_after_tab or self.required or self.terms):
            raise UsageError(
                f"search.shortlist = {search.shortlist} leaves out words that are asked for by a prefix, a term or as "
                "required; use it without them, or set it to 0"
            )

    def _check_sampling(self) -> None:
        """Refuse what would be of no use; what the model's own settings hold is no error."""
        for name in ("beam_size", "coverage_penalty"):
            if name in self.model_fields_set:
                raise UsageError(
                    f"search.{name} = {getattr(self, name)} does nothing for translations that are drawn at random; "
                    "leave one of them out"
                )
        if self.required or self.terms:
            raise UsageError("words cannot be required of translations that are drawn at random; leave one of them out")
        if self.lm_rescore:
            raise UsageError(
                "translations that are drawn at random are not put in order by a language model; leave one of them out"
            )


DEFAULT: Final = Options()
