"""Typed settings, TOML recipes and `section.key=value` overrides."""

from nmt.config.load import load_settings, parse_settings, to_toml
from nmt.config.settings import (
    DataSettings,
    ModelSettings,
    SearchSettings,
    Settings,
    TokenizerSettings,
    TrainingSettings,
)

__all__ = [
    "DataSettings",
    "ModelSettings",
    "SearchSettings",
    "Settings",
    "TokenizerSettings",
    "TrainingSettings",
    "load_settings",
    "parse_settings",
    "to_toml",
]
