import json
import shutil
from pathlib import Path

import pytest

from nmt.graph.stage_kinds import KINDS
from nmt.prepared import PreparedData
from nmt.prepared.manifest import MANIFEST
from tests.nmt.graph.conftest import MakeNodes

STAGES = """
[stages.data]
do = "prepare"

[stages.one]
do = "train"
needs = ["data"]

[stages.two]
do = "train"
needs = ["one", "data"]

[stages.mean]
do = "average"
needs = ["two", "data"]
last = 3

[stages.quick]
do = "shortlist"
needs = ["mean", "data"]
pairs = 50

[stages.corrected]
do = "adapt"
needs = ["quick", "data"]
corrections = "train.src"

[stages.text]
do = "translate"
needs = ["one", "two"]
set.search = {beam_size = 2, carry_unknown = false}
set.data.test_tag = "<a>"

[stages.larger]
do = "vocabulary"
needs = ["one"]
pieces = ["ba"]
symbols = ["<b>"]
text = "train.src"
limit = 5

[stages.known]
do = "memory"
needs = ["one"]
pairs = ["*lid.src"]
set.data.src_lang = "en"

[stages.beside]
do = "translate"
needs = ["one", "known"]
set.search = {memory_pairs = 3, memory_exact = false}

[stages.target]
do = "prepare"
needs = ["data"]
set.tokenizer.file = "{data}"
set.data.train_text = ["train.tgt"]

[stages.lm]
do = "train"
needs = ["target"]

[stages.fused]
do = "translate"
needs = ["one", "lm"]
lm_rescore = true
set.search.lm_weight = 0.5

[stages.tuned]
do = "tune"
needs = ["one", "two", "lm"]
metric = "chrf"
tag = "<a>"
set.search = {beam_size = 2, batch_tokens = 500}

[stages.best]
do = "translate"
needs = ["one", "two", "lm", "tuned"]

[stages.best_alone]
do = "translate"
needs = ["one", "tuned"]

[stages.r2l]
do = "train"
needs = ["data"]
set.model.right_to_left = true

[stages.weighed]
do = "tune"
needs = ["one"]
right_to_left = "r2l"
reverse_model = "two"

[stages.rescored]
do = "translate"
needs = ["one", "weighed"]
right_to_left = "r2l"
reverse_model = "two"

[stages.rescored_so]
do = "translate"
needs = ["one"]
reverse_model = "one"
set.search.reverse_weight = 0.25

[stages.back]
do = "translate"
needs = ["one", "text"]

[stages.synthetic]
do = "backtranslate"
needs = ["one", "two"]
text = "train.tgt"
sample = true
top_k = 10
keep_share = 0.8
tag = "<b>"
forward_tag = "<f>"
workers = 2
set.search.beam_size = 3
set.data = {max_repeats = 2, drop_copies = false, on_bad_utf8 = "replace"}

[stages.taught]
do = "distil"
needs = ["one", "two", "data"]
nearest = "chrf"

[stages.taught_text]
do = "distil"
needs = ["one"]
text = "train.src"
rescore = ["two", "r2l"]
tag = "<a>"

[stages.scores]
do = "score"
needs = ["text", "back"]
set.training.bleu_tokenizer = "char"
"""


def test_a_stage_is_a_command(nodes_of: MakeNodes, toy_text: Path, tmp_path: Path) -> None:
    nodes = nodes_of(STAGES, ["search.rescore_weight=0.5"])
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "tuned.json").write_text('{"best": {"lm_weight": 0.0, "length_penalty": 0.0, "score": 1.0}}')
    weighed = '{"best": {"lm_weight": 0.0, "length_penalty": 0.5, "rescore_weight": 0.75, "reverse_weight": 0.0}}'
    (tmp_path / "w" / "weighed.json").write_text(weighed)
    commands = {node.name: node.stage.command(node.given, Path("out"), Path("settings")) for node in nodes}
    shown = {
        name: " ".join(command).replace(f"{tmp_path}/w/", "").replace(f"{toy_text}/", "")
        for name, command in commands.items()
    }
    device = "--device auto --on-bad-utf8 error"
    assert shown == {
        "data": "prepare out --recipe settings",
        "one": "train data out --recipe settings",
        "two": "train data out --recipe settings --from one",
        "mean": "average two out --last 3 --data data",
        "quick": "shortlist mean data --output out --pairs 50",
        "corrected": "adapt quick train.src --output out --data data",
        "text": f"translate one test.src --output out --ensemble two --tag <a> --beam 2 --no-carry-unknown {device}",
        "larger": "vocabulary add one --output out --pieces ba --symbols <b> --limit 5 --from-text train.src "
        "--on-bad-utf8 error",
        "known": "memory build one valid.src --output out --src-lang en --on-bad-utf8 error --on-bad-record error",
        "beside": f"translate one test.src --output out --memory known --memory-pairs 3 --no-memory-exact {device}",
        "target": "prepare out --recipe settings",
        "lm": "train target out --recipe settings",
        "fused": f"translate one test.src --output out --lm lm --lm-rescore --lm-weight 0.5 {device}",
        "tuned": "tune one --src valid.src --tgt valid.tgt --output out --ensemble two --lm lm --metric chrf --tag <a> "
        f"--beam 2 --batch-tokens 500 {device}",
        "best": "translate one test.src --output out --ensemble two --lm lm --length-penalty 0.0 --lm-weight 0.0 "
        f"{device}",
        "best_alone": f"translate one test.src --output out --length-penalty 0.0 {device}",
        "r2l": "train data out --recipe settings",
        "weighed": "tune one --src valid.src --tgt valid.tgt --output out --right-to-left r2l --reverse-model two "
        f"{device}",
        "rescored": "translate one test.src --output out --right-to-left r2l --reverse-model two --length-penalty 0.5 "
        f"--rescore-weight 0.75 --reverse-weight 0.0 {device}",
        "rescored_so": f"translate one test.src --output out --reverse-model one --reverse-weight 0.25 {device}",
        "back": f"translate one text.txt --output out {device}",
        "synthetic": "backtranslate one train.tgt --output out --beam 3 --set data.max_repeats=2 "
        "--set data.drop_copies=false --device auto --on-bad-utf8 replace --tag <b> --workers 2 --forward-model two "
        "--sample --top-k 10 --keep-share 0.8 --forward-tag <f>",
        "taught": f"distil data --output out {device} --teacher one --teacher two --nearest chrf",
        "taught_text": f"distil --output out {device} --tag <a> --teacher one --text train.src --rescore two "
        "--rescore r2l",
        "scores": "score test.tgt text.txt back.txt --json --tokenize char --on-bad-utf8 error",
    }
    assert {node.does for node in nodes} == set(KINDS), "every kind is here"


@pytest.mark.parametrize(
    ("change", "stage", "decides"),
    [
        ("training.seed=2", "one", True),
        ("model.hidden_size=32", "one", True),
        ("training.threads=2", "one", False),
        ("training.checkpoint_every=7", "one", True),
        ("search.beam_size=3", "one", False),
        ("search.beam_size=3", "back", True),
        ("search.beam_size=3", "tuned", True),
        ("search.batch_tokens=300", "back", False),
        ("search.batch_tokens=300", "tuned", False),
        ("search.length_penalty=0.5", "best", False),
        ("search.lm_weight=0.5", "best", False),
        ("search.lm_weight=0.25", "fused", True),
        ("search.rescore_weight=0.25", "rescored", False),
        ("search.reverse_weight=0.5", "rescored_so", True),
        ("search.rescore_weight=0.25", "rescored_so", False),
        ("training.seed=2", "data", False),
        ("tokenizer.vocab_size=41", "data", True),
        ("data.test_tag='<b>'", "data", False),
        ("training.bleu_tokenizer='zh'", "one", True),
        ("data.tgt_lang='zh'", "scores", True),
        ("data.lowercase=true", "scores", True),
        ("data.lowercase=true", "data", True),
    ],
)
def test_a_result_depends_on_the_settings_of_its_command(
    nodes_of: MakeNodes, change: str, stage: str, decides: bool
) -> None:
    before, after = (
        next(node.stage.deciding(node.given) for node in nodes_of(STAGES, overrides) if node.name == stage)
        for overrides in ([], [change])
    )
    assert (before != after) == decides


def test_small_letters_are_scored_without_regard_to_case(nodes_of: MakeNodes) -> None:
    [scores] = [node for node in nodes_of(STAGES, ["data.lowercase=true"]) if node.name == "scores"]
    assert "--lowercase" in scores.stage.command(scores.given, Path("out"), Path("settings"))


def test_distillation_depends_on_the_rules_of_its_data(
    nodes_of: MakeNodes, toy_data: PreparedData, tmp_path: Path
) -> None:
    taught = next(node for node in nodes_of(STAGES) if node.name == "taught")
    folder = shutil.copytree(toy_data.folder, tmp_path / "w" / "data")
    assert taught.stage.deciding(taught.given)["data"]["max_repeats"] == 0
    tree = json.loads((folder / MANIFEST).read_text())
    tree["settings"]["data"]["max_repeats"] = 2
    (folder / MANIFEST).write_text(json.dumps(tree))
    assert taught.stage.deciding(taught.given)["data"]["max_repeats"] == 2
