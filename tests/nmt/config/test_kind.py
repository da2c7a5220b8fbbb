import re

import pytest

from nmt.config import load_settings
from nmt.config.fit import check_kind
from nmt.errors import ConfigError

TEXT, PAIRS = "data.train_text=['a']", "data.train_src=['a']"


@pytest.mark.parametrize("wishes", [[], [PAIRS], [PAIRS, "model.kind=translation"], [TEXT], [TEXT, "model.kind=lm"]])
def test_a_kind_that_is_unset_or_fits_the_text_is_right(wishes: list[str]) -> None:
    check_kind(load_settings(overrides=wishes))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            [TEXT, "model.kind=translation"],
            'model.kind = "translation" learns from pairs, but data.train_text names text for a language model; '
            'set model.kind = "lm", or leave it unset',
        ),
        (
            [PAIRS, "model.kind=lm"],
            'model.kind = "lm" learns from the text of data.train_text, but data.train_src names pairs',
        ),
        (
            ["data.corpora=[{path=['a.tsv']}]", "model.kind=lm"],
            'model.kind = "lm" learns from the text of data.train_text, but data.corpora names pairs',
        ),
        (["model.kind=lm"], 'model.kind = "lm" learns from the text of data.train_text, but it is not set'),
    ],
)
def test_a_kind_that_does_not_fit_the_text_is_refused(wishes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_kind(load_settings(overrides=wishes))
