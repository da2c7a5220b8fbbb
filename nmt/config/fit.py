"""Whether settings fit the data that a model is trained on: its kind, and what they ask of the vocabulary."""

from nmt.config.load import Settings
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


_SENSELESS = (
    ("model", "input_feeding", "it has no attention"),
    ("training", "subword_sampling", "its text stays as it was prepared"),
    ("training", "r_drop", "what it carries on is the state of one pass"),
)
"""Settings that must be off for a language model, and why."""


def fit_settings(settings: Settings, *, prepared: Settings) -> Settings:
    """Return the settings as the data and the kind of model want them.

    A language model is chosen by its loss, and learns without label smoothing unless told otherwise: what it is asked
    for is a distribution over pieces, not the likeliest one.

    Args:
        settings: What the user wishes.
        prepared: What the data were prepared with; they say which kind of model can learn from them.

    Raises:
        ConfigError: The data are of another kind than the model, or a setting makes no sense for it.
    """
    kind = settings.model.kind
    if kind != prepared.model.kind:
        found, wanted = ("pairs", "text with `nmt prepare --text`") if kind == "lm" else ("text", "pairs")
        raise ConfigError(f'model.kind = "{kind}", but the data hold {found}; prepare {wanted}, or leave it unset')
    if kind == "translation":
        return settings
    for section, name, why in _SENSELESS:
        if value := getattr(getattr(settings, section), name):
            shown = str(value).lower()
            raise ConfigError(f"{section}.{name} = {shown} makes no sense for a language model: {why}; leave it unset")
    training = settings.training
    if training.best_by == "bleu" and "best_by" in training.model_fields_set:
        raise ConfigError('training.best_by = "bleu" needs translations; for a language model leave it unset')
    own = {"best_by": "loss", "label_smoothing": 0.0}
    unset = {name: value for name, value in own.items() if name not in training.model_fields_set}
    return settings.model_copy(update={"training": training.model_copy(update=unset)})
