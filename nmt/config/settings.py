"""The settings: one frozen, typed tree. The string under each field is its documentation."""

from pydantic import model_validator

from nmt.config.data import DataSettings
from nmt.config.model import ModelSettings
from nmt.config.search import SearchSettings
from nmt.config.section import Section
from nmt.config.tokenizer import TokenizerSettings
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
        if self.model.attention == "none" and self.search.coverage_penalty:
            raise ValueError(
                "search.coverage_penalty asks how much was read of each source position, but model.attention = "
                f'"none" reads none: set search.coverage_penalty = 0, found {self.search.coverage_penalty}'
            )
        if self.training.r_drop and self.training.objective != "full":
            raise ValueError('training.r_drop compares whole distributions: it needs training.objective = "full"')
        if self.training.subword_sampling and self.tokenizer.kind in ("word", "char", "byte"):
            raise ValueError(
                "training.subword_sampling cuts words into other pieces: it needs a tokenizer of the kind unigram or "
                f'bpe, found tokenizer.kind = "{self.tokenizer.kind}"'
            )
        return self

    @model_validator(mode="after")
    def _vectors_must_fit_the_tables(self) -> "Settings":
        model, tying = self.model, self.model.tying(joint=self.tokenizer.joint)
        if model.freeze_tgt_vectors and tying != "none":
            raise ValueError(
                "model.freeze_tgt_vectors = true needs a table that is not the output layer's, which has to learn: "
                f'set model.tied_embeddings = "none", found "{model.tied_embeddings}"'
            )
        if model.freeze_src_vectors and tying == "all":
            raise ValueError(
                "model.freeze_src_vectors = true needs a table that is not the output layer's, which has to learn: "
                f'set model.tied_embeddings = "target" or "none", found "{model.tied_embeddings}"'
            )
        files = {model.src_vectors, model.tgt_vectors} - {None}
        if tying == "all" and len(files) == 2:
            raise ValueError(
                f"source and target share one table, but model.src_vectors is {model.src_vectors} and "
                f'model.tgt_vectors {model.tgt_vectors}: name one file, or set model.tied_embeddings = "target"'
            )
        return self
