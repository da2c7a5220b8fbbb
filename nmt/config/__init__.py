"""Typed settings, TOML recipes and `section.key=value` overrides."""

from nmt.config.data import DataSettings, TokenizerSettings
from nmt.config.load import load_settings, parse_settings, to_toml
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.settings import Settings
from nmt.config.training import TrainingSettings

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
