"""Settings that have no effect as long as another one is as it is: the one table of them."""

from collections.abc import Callable
from typing import Final

from nmt.config.load import Settings
from nmt.config.model import CELLS
from nmt.config.search import SearchSettings


def _is_dropping(settings: Settings) -> bool:
    model = settings.model
    places = (model.embedding_dropout, model.encoder_dropout, model.decoder_dropout, model.readout_dropout)
    rates = [model.dropout if rate is None else rate for rate in places]
    return any(any(rate) if isinstance(rate, tuple) else rate for rate in rates)


def _every_place_has_its_rate(settings: Settings) -> bool:
    model = settings.model
    has_encoder = model.kind == "translation" and model.encoder_layers > 1
    return None not in (
        model.embedding_dropout,
        model.readout_dropout,
        model.encoder_dropout if has_encoder else 0.0,
        model.decoder_dropout if model.decoder_layers > 1 else 0.0,
    )


def _every_side_has_its(name: str) -> Callable[[Settings], bool]:
    sides = {"lm": ("decoder",), "translation": ("encoder", "decoder")}
    return lambda s: all(getattr(s.model, f"{side}_{name}") is not None for side in sides[s.model.kind])


def _most_layers(settings: Settings) -> int:
    model = settings.model
    return model.decoder_layers if model.kind == "lm" else max(model.encoder_layers, model.decoder_layers)


def _is_lm(settings: Settings) -> bool:
    return settings.model.kind == "lm"


def _has_tokenizer(settings: Settings) -> bool:
    return bool(settings.tokenizer.file or settings.tokenizer.src_file)


_OF_TRANSLATION = (
    "encoder_cell encoder_size encoder_layers encoder_dropout bidirectional reverse_source attention "
    "attention_heads decoder_init right_to_left"
)
_OF_PAIRS = (
    "max_characters max_pieces max_length_ratio drop_duplicates drop_copies max_repeats drop_overlap "
    "min_script_share max_symbol_share identify_languages"
)

_TABLE: Final[tuple[tuple[str, tuple[str, ...], Callable[[Settings], bool], str], ...]] = (
    ("model", tuple(_OF_TRANSLATION.split()), _is_lm, 'model.kind = "lm"'),
    ("training", ("batch_tokens", "bleu_tokenizer", "validation_weights"), _is_lm, 'model.kind = "lm"'),
    ("search", tuple(SearchSettings.model_fields), _is_lm, 'model.kind = "lm"'),
    ("training", ("segment_rows", "segment_steps", "carry_state"), lambda s: not _is_lm(s), "a translation model"),
    ("model", ("cell",), _every_side_has_its("cell"), "a model whose every cell is set"),
    ("model", ("hidden_size",), _every_side_has_its("size"), "a model whose every size is set"),
    ("model", ("dropout",), _every_place_has_its_rate, "a model whose every dropout is set"),
    (
        "model",
        ("encoder_dropout",),
        lambda s: not _is_lm(s) and s.model.encoder_layers == 1,
        "model.encoder_layers = 1",
    ),
    ("model", ("decoder_dropout",), lambda s: s.model.decoder_layers == 1, "model.decoder_layers = 1"),
    (
        "model",
        ("attention_heads",),
        lambda s: not _is_lm(s) and s.model.attention == "none",
        'model.attention = "none"',
    ),
    ("model", ("residual",), lambda s: s.model.residual > _most_layers(s), "a model of fewer layers"),
    (
        "training",
        ("r_drop",),
        lambda s: not _is_dropping(s) and not s.model.word_dropout,
        "a model in which no dropout differs by sentence",
    ),
    ("model", ("variational_dropout",), lambda s: not _is_dropping(s), "a model without dropout"),
    ("model", ("init_range",), lambda s: s.model.start() != "uniform", 'a model.init other than "uniform"'),
    (
        "model",
        ("forget_bias",),
        lambda s: not any(CELLS[stack.cell].forget_gate for stack in s.model.stacks()),
        "a cell without a forget gate",
    ),
    (
        "training",
        ("sampler", "samples"),
        lambda s: s.training.objective != "sampled",
        'an objective other than "sampled"',
    ),
    (
        "training",
        ("label_smoothing",),
        lambda s: s.training.objective != "full" and s.training.label_smoothing > 0,
        'an objective other than "full"',
    ),
    ("training", ("noise_kinds",), lambda s: not s.training.noise, "training.noise = 0"),
    ("training", ("betas",), lambda s: s.training.optimizer == "sgd", 'training.optimizer = "sgd"'),
    ("training", ("momentum",), lambda s: s.training.optimizer != "sgd", "Adam"),
    ("training", ("plateau_patience",), lambda s: s.training.schedule != "plateau", 'a schedule other than "plateau"'),
    (
        "training",
        ("decay_after_epochs",),
        lambda s: s.training.schedule != "epoch_decay",
        'a schedule other than "epoch_decay"',
    ),
    (
        "training",
        ("decay_after_steps", "decay_every_steps"),
        lambda s: s.training.schedule != "step_decay",
        'a schedule other than "step_decay"',
    ),
    (
        "training",
        ("decay_factor",),
        lambda s: s.training.schedule not in ("epoch_decay", "step_decay"),
        'a schedule other than "epoch_decay" and "step_decay"',
    ),
    (
        "training",
        ("max_epochs",),
        lambda s: s.training.max_steps > 0 and not s.training.time,
        "a run of training.max_steps",
    ),
    ("training", ("threads",), lambda s: s.training.device == "cuda", "a GPU"),
    ("training", ("max_steps", "max_epochs"), lambda s: bool(s.training.time), "a run of training.time"),
    ("search", ("coverage_penalty",), lambda s: not _is_lm(s) and s.search.beam_size == 1, "search.beam_size = 1"),
    (
        "search",
        ("zero_digit",),
        lambda s: not _is_lm(s) and "number" not in s.tokenizer.placeholders,
        "a model without numbers among its tokenizer.placeholders",
    ),
    ("data", tuple(_OF_PAIRS.split()), lambda s: bool(s.data.train_text), "text for a language model"),
    ("tokenizer", ("joint",), lambda s: bool(s.data.train_text), "text for a language model"),
    (
        "data",
        ("heldout_pairs",),
        lambda s: any((s.data.valid_src, s.data.validation, s.data.valid_text)),
        "a preparation with validation text",
    ),
    ("tokenizer", ("tgt_vocab_size",), lambda s: s.tokenizer.joint, "tokenizer.joint = true"),
    (
        "tokenizer",
        ("tgt_vocab_size", "character_coverage", "max_training_lines"),
        _has_tokenizer,
        "a tokenizer from a file",
    ),
    (
        "tokenizer",
        ("vocab_size", "tgt_vocab_size", "character_coverage", "max_training_lines"),
        lambda s: s.tokenizer.kind == "byte" and not _has_tokenizer(s),
        'tokenizer.kind = "byte"',
    ),
)
"""A section, settings of it, when they have no effect, and what makes no use of them then."""


def warnings_of_idle(settings: Settings, *sections: str) -> list[str]:
    """Say which settings of some sections were changed from their defaults, though others make no use of them."""
    defaults = Settings()
    lines = []
    for section, names, holds, cause in _TABLE:
        if section not in sections or not holds(settings):
            continue
        mine, usual = getattr(settings, section), getattr(defaults, section)
        changed = [name for name in names if name in mine.model_fields_set]
        if idle := [f"{section}.{name}" for name in changed if getattr(mine, name) != getattr(usual, name)]:
            lines.append(f"{cause} makes no use of {', '.join(idle)}")
    return lines


def is_idle(settings: Settings, section: str, name: str) -> bool:
    """Whether these settings make no use of one of them."""
    return any(section == of and name in names and holds(settings) for of, names, holds, _ in _TABLE)


def causes_of_idleness(section: str, name: str) -> tuple[str, ...]:
    """Say what makes no use of a setting."""
    return tuple(cause for of_section, names, _, cause in _TABLE if of_section == section and name in names)
