"""Recipes with stages on the toy language pair."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nmt.graph.order import StageNode, load_nodes

MakeNodes = Callable[..., list[StageNode]]
"""Takes the text of the stages, overrides, and the folder for the results, else `w`; returns the stages."""


@pytest.fixture
def nodes_of(toy_recipe: str, tmp_path: Path) -> MakeNodes:
    """Read stages that stand behind the settings of the toy recipe."""

    def nodes_of(stages: str, overrides: Sequence[str] = (), work: Path = tmp_path / "w") -> list[StageNode]:
        recipe = tmp_path / "toy.toml"
        recipe.write_text(toy_recipe + stages, encoding="utf-8")
        return load_nodes(recipe, overrides, work)

    return nodes_of
