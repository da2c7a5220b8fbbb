"""The kind of model held against the training text that the settings name."""

from nmt.config.settings import Settings
from nmt.errors import ConfigError

_PAIRS = ("train_src", "train_tgt", "train_tsv", "corpora")


def check_kind(settings: Settings) -> None:
    """Refuse a kind of model that cannot learn from the text that `data` names, before anything is done with that text.

    Text for a language model makes it one, so only a kind that was set can be wrong.

    Raises:
        ConfigError: A language model is wished for without its text, or a translation model with that of the other.
    """
    data, model = settings.data, settings.model
    if model.kind == "lm" and not data.train_text:
        pairs = next((f"data.{name} names pairs" for name in _PAIRS if getattr(data, name)), "it is not set")
        raise ConfigError(f'model.kind = "lm" learns from the text of data.train_text, but {pairs}')
    if data.train_text and model.kind == "translation" and "kind" in model.model_fields_set:
        raise ConfigError(
            'model.kind = "translation" learns from pairs, but data.train_text names text for a language model; '
            'set model.kind = "lm", or leave it unset'
        )
