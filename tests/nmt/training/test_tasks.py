from pathlib import Path

import pytest
import torch

from nmt.config import Settings
from nmt.errors import DataError
from nmt.prepared import PreparedData, PreparedText
from nmt.training.distributed import Place, Ranks
from nmt.training.language_modelling import LanguageTask
from nmt.training.trainer import open_data
from nmt.training.translation import TranslationTask

PLACE = Place(torch.device("cpu"), "fp32", Ranks())


def test_pairs_are_for_translation(toy_data: PreparedData, toy_settings: Settings) -> None:
    data = open_data(toy_data.folder)
    assert isinstance(data, PreparedData)
    assert TranslationTask(data, toy_settings, PLACE).carry is None


def test_text_is_for_a_language_model(counting_data: PreparedText, counting_settings: Settings) -> None:
    data = open_data(counting_data.folder)
    assert isinstance(data, PreparedText)
    assert LanguageTask(data, counting_settings, PLACE).carry.rows == 5


def test_the_size_of_a_batch_is_what_the_number_of_steps_depends_on(
    toy_data: PreparedData, toy_settings: Settings, counting_data: PreparedText, counting_settings: Settings
) -> None:
    assert TranslationTask(toy_data, toy_settings, PLACE).batch_tokens == 150
    assert LanguageTask(counting_data, counting_settings, PLACE).batch_tokens == 5 * 6


def test_a_folder_without_prepared_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no prepared data"):
        open_data(tmp_path)
