"""Typed settings, TOML recipes and `section.key=value` overrides."""

from nmt.config.data import CorpusSettings, DataSettings, TokenizerSettings, TrainingCorpusSettings
from nmt.config.load import Settings, change_settings, load_settings, parse_settings, to_toml
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.training import TrainingSettings

__all__ = [
    "CorpusSettings",
    "DataSettings",
    "ModelSettings",
    "SearchSettings",
    "Settings",
    "TokenizerSettings",
    "TrainingCorpusSettings",
    "TrainingSettings",
    "change_settings",
    "load_settings",
    "parse_settings",
    "to_toml",
]
