"""The settings: one frozen, typed tree. The string under each field is its documentation."""

from pydantic import model_validator

from nmt.config.data import DataSettings, TokenizerSettings
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.section import Section
from nmt.config.training import TrainingSettings


class Settings(Section):
    """Everything a run depends on; stored in every model as config.toml."""

    data: DataSettings = DataSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    search: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _sections_must_agree(self) -> "Settings":
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            raise ValueError(
                'model.tied_embeddings = "all" needs tokenizer.joint = true; with two vocabularies use "target"'
            )
        if self.training.r_drop and self.training.objective == "sampled":
            raise ValueError('training.r_drop compares whole distributions: it needs training.objective = "full"')
        return self
