"""Text as the scripts of Moses cut it, for the scores of older papers; needs sacremoses, the optional extra `moses`."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

from nmt.errors import ConfigError, UsageError, install


class LcNormTok:
    """What Multi30k's own script does to a text: lower-cased, then normalised as `normalize-punctuation.perl`, then
    tokenised as `tokenizer.perl`, with entities for quotes and brackets (Elliott et al., 2016)."""

    def __init__(self, language: str) -> None:
        """Take the rules of a language, named as "de"; a UsageError if Moses has none, a ConfigError if sacremoses is
        not installed."""
        try:
            moses = import_module("sacremoses")
        except ImportError as error:
            raise ConfigError(
                f"the protocol lc-norm-tok needs sacremoses, which is not installed; {install('moses')}"
            ) from error
        known = sorted(set(import_module("sacremoses.corpus").NonbreakingPrefixes().available_langs.values()))
        if language not in known:
            raise UsageError(
                f"the protocol lc-norm-tok found the language {language!r}, for which Moses has no rules; "
                f"expected one of {', '.join(known)}"
            )
        # as the script in Perl, which makes " of a closing quotation mark alone
        self._normalise: Callable[[str], str] = moses.MosesPunctNormalizer(lang=language, perl_parity=True).normalize
        self._tokenise: Callable[[str], list[str]] = moses.MosesTokenizer(lang=language).tokenize
        self._signature = f"lc-norm-tok-{language}-sacremoses-{version('sacremoses')}"

    def __call__(self, line: str) -> str:
        """Return the tokens of a line, with spaces between them."""
        return " ".join(self._tokenise(self._normalise(line.lower())))

    def signature(self) -> str:
        """Return what scores of such text are to say of it."""
        return self._signature
