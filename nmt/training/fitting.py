"""Settings held against the kind of model: what each kind cannot use, and what language models have by themselves."""

from nmt.config import SearchSettings, Settings
from nmt.errors import ConfigError

_SENSELESS = (
    ("model", "input_feeding", "it has no attention"),
    ("training", "subword_sampling", "its text stays as it was prepared"),
    ("training", "r_drop", "what it carries on is the state of one pass"),
)
"""Settings that must be off for a language model, and why."""

_USELESS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "lm": (
        ("model", ("encoder_layers", "encoder_dropout", "bidirectional", "reverse_source", "attention")),
        ("training", ("batch_tokens", "bleu_tokenizer")),
        ("search", tuple(SearchSettings.model_fields)),
    ),
    "translation": (("training", ("segment_rows", "segment_steps", "carry_state")),),
}
"""Settings that each kind of model leaves aside."""


def fit_settings(settings: Settings, *, prepared: Settings) -> Settings:
    """Return the settings as the data and the kind of model want them.

    A language model is chosen by its loss, and learns without label smoothing unless told otherwise: what it is asked
    for is a distribution over words, not the likeliest one.

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


def useless_settings(settings: Settings) -> list[str]:
    """Name the settings that were changed from their defaults, though the kind of model makes no use of them."""
    defaults = Settings()
    return [
        f"{section}.{name}"
        for section, names in _USELESS[settings.model.kind]
        for name in names
        if getattr(getattr(settings, section), name) != getattr(getattr(defaults, section), name)
    ]
