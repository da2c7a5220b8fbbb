"""Typed settings, TOML recipes and `section.key=value` overrides."""

from nmt.config.data import CorpusSettings, DataSettings, TrainingCorpusSettings
from nmt.config.load import Settings, change_settings, load_settings, parse_settings, to_toml
from nmt.config.model import ModelSettings, TokenizerSettings
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
