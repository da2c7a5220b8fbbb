"""A cell is one file in nmt/models/cells and one line in the settings."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nmt.config.model import CELLS
from nmt.models.cells.layer import LAYERS, Recurrence, make_layer

ROOT = Path(__file__).parents[4]

TOY = '''
"""The mean of the state and of what is read."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.models.cells.layer import RecurrentLayer, State, Weights, cell


@cell("toy")
class Toy(RecurrentLayer):
    """h' = (h + tanh(W x)) / 2."""

    def __init__(self, *, input_size: int, hidden_size: int, recurrent_dropout: float) -> None:
        super().__init__(hidden_size=hidden_size, recurrent_dropout=recurrent_dropout)
        self.input_weight = nn.Parameter(torch.empty(hidden_size, input_size))
        nn.init.xavier_uniform_(self.input_weight)

    def run(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state, outputs = state or self.zeros(inputs), []
        for t in range(inputs.shape[1]):
            state = self.step(inputs[:, t], state, weights=self.weights())
            outputs.append(state[0])
        return torch.stack(outputs, dim=1), state

    def weights(self) -> Weights:
        return (self.input_weight,)

    def step(self, inputs: Tensor, state: State, *, weights: Weights) -> State:
        return ((state[0] + torch.tanh(functional.linear(inputs, weights[0]))) / 2,)
'''
LINE = '    "toy": CellFacts(("h",), forget_gate=False, recurrent_weights=False),\n'
SCRIPT = """
import sys
from typer.testing import CliRunner
from nmt_cli.main import app

def nmt(*arguments, **given):
    done = CliRunner().invoke(app, arguments, **given)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout

small = ["embedding_size=8", "hidden_size=8", "encoder_layers=1"]
sets = ["model.cell=toy", *(f"model.{one}" for one in small), "tokenizer.kind=char", "tokenizer.vocab_size=40",
        "training.max_steps=2", "training.device=cpu", "training.tensorboard=false",
        "data.train_src=['train.src']", "data.train_tgt=['train.tgt']", "data.valid_src=valid.src",
        "data.valid_tgt=valid.tgt"]
sets = [word for one in sets for word in ("--set", one)]
nmt("prepare", "data", *sets)
nmt("train", "data", "model", *sets)
for precision in sys.argv[1:]:
    assert nmt("translate", "model", "--precision", precision, input="b a\\n").count("\\n") == 1
assert nmt("vectors", "model").partition("\\n")[0].endswith(" 8")
"""


def test_the_settings_know_of_every_cell_what_its_layer_is() -> None:
    made = {name: make_layer(Recurrence(name, 0.0), input_size=2, hidden_size=3) for name in CELLS}
    assert set(LAYERS) == set(CELLS)
    for name, facts in CELLS.items():
        layer = made[name]
        assert (layer.forget_bias() is not None) == facts.forget_gate
        names = [part for part, _ in layer.named_parameters()]
        assert any("recurrent_weight" in part or "weight_hh" in part for part in names) == facts.recurrent_weights


def test_a_new_cell_is_one_file_and_one_line(tmp_path: Path) -> None:
    for part in ("nmt", "cli/nmt_cli"):
        shutil.copytree(ROOT / part, tmp_path / Path(part).name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "nmt/models/cells/toy.py").write_text(TOY, encoding="utf-8")
    settings = tmp_path / "nmt/config/model.py"
    head, table, tail = settings.read_text(encoding="utf-8").partition("CELLS: Final[dict[str, CellFacts]] = {\n")
    settings.write_text(head + table + LINE + tail, encoding="utf-8")
    for part, count in (("train", 12), ("valid", 2)):
        for side, last in (("src", "d"), ("tgt", "e")):
            (tmp_path / f"{part}.{side}").write_text("".join(f"a b {'c' * i}{last}\n" for i in range(count)))
    run = [sys.executable, "-c", SCRIPT, "fp32", "bf16", "int8"]
    done = subprocess.run(run, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_cell_without_a_prepacked_form_is_copied_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LAYERS["lstm"], "form", None)
    layer, inputs = make_layer(Recurrence("lstm", 0.0), input_size=2, hidden_size=3), torch.randn(2, 4, 2)
    copied = layer.prepacked("int8")
    assert copied is not layer
    assert torch.equal(copied(inputs), layer(inputs))
