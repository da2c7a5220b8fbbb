"""The recipes of classic systems: they have the size that their page says, and they train."""

import re
import threading
from pathlib import Path

import pytest

from nmt.config import Settings, change_settings, load_settings
from nmt.graph.order import load_nodes
from nmt.models.build import Undrawn, build_model, count_parameters
from nmt.phrasebook import write_corpus
from nmt.prepare.pipeline import prepare
from nmt.prepared import PreparedData
from nmt.training.observers import Silence, StepReport
from nmt.training.trainer import train

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted((FOLDER / "classic").glob("*.toml"))
SMALL = {"embedding_size": 12, "hidden_size": 16, "encoder_size": 32, "decoder_size": 16}


def small(settings: Settings, folder: Path) -> Settings:
    """Make the sizes small that a recipe names, and the corpus that of the demo; all else is the recipe's."""
    sizes = {name: size for name, size in SMALL.items() if name in settings.model.model_fields_set}
    pieces = {"vocab_size": 120} | ({"tgt_vocab_size": 100} if settings.tokenizer.tgt_vocab_size else {})
    data = write_corpus(folder, train_pairs=60)
    for name in (data.valid_src, data.valid_tgt):  # an untrained model takes its time for each of them
        lines = (folder / str(name)).read_text(encoding="utf-8").splitlines()
        (folder / str(name)).write_text("\n".join(lines[:2]), encoding="utf-8")
    settings = settings.model_copy(update={"data": data})
    settings = change_settings(change_settings(settings, "model", sizes), "tokenizer", pieces)
    settings = change_settings(settings, "search", {"beam_size": 1, "max_length_ratio": 0.1})
    changes = {"max_steps": 1, "precision": "fp32", "threads": 1, "tensorboard": False, "log_every": 1}
    return change_settings(settings, "training", changes)


class Reports(Silence):
    """Keeps what is said of each step."""

    def __init__(self) -> None:
        self.steps: list[StepReport] = []

    def on_step(self, report: StepReport) -> None:
        """Keep it."""
        self.steps.append(report)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_page_says_how_many_parameters_a_recipe_has(recipe: Path) -> None:
    settings = load_settings(recipe)
    tokenizer = settings.tokenizer
    with Undrawn():  # nothing touches the memory of most weights
        model = build_model(
            settings.model,
            src_vocab_size=tokenizer.vocab_size,
            tgt_vocab_size=tokenizer.tgt_vocab_size or tokenizer.vocab_size,
            joint=tokenizer.joint,
            seed=1,
        )
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| \[{recipe.stem}\]\(classic/{recipe.name}\) .*$", page, flags=re.MULTILINE)
    assert f"| {count_parameters(model) / 1e6:.1f} M" in row


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_small_model_of_a_recipe_makes_a_step(recipe: Path, tmp_path: Path) -> None:
    settings = small(load_settings(recipe), tmp_path)
    prepare(tmp_path / "data", settings, workers=1)
    reports = Reports()
    train(PreparedData.open(tmp_path / "data"), tmp_path / "model", settings, observer=reports, stop=threading.Event())
    (step,) = reports.steps
    assert step.learning_rate == pytest.approx(settings.training.learning_rate / max(1, settings.training.warmup_steps))
    assert 0 < step.loss < 10


def test_gnmt_goes_from_adam_to_sgd(tmp_path: Path) -> None:
    for name in ("train", "newstest2013", "newstest2014"):
        for language in ("en", "de"):
            (tmp_path / f"{name}.{language}").touch()
    nodes = {node.name: node for node in load_nodes(FOLDER / "classic/gnmt.toml", [f"data.root={tmp_path}"], tmp_path)}
    assert list(nodes) == ["data", "adam", "sgd", "test", "scores"]
    adam, sgd = (nodes[name].settings.training for name in ("adam", "sgd"))
    assert (adam.optimizer, adam.learning_rate, adam.max_steps) == ("adam", 0.0002, 60_000)
    assert (sgd.optimizer, sgd.learning_rate, adam.max_steps + sgd.max_steps) == ("sgd", 0.5 * 30, 2_000_000)
