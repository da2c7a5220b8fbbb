"""peers.py on a toy model, beside toolkits that are made up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nmt.prepared import PreparedData

PEERS_PY = Path(__file__).with_name("peers.py")
SPEED = {"peer": "made-up", "measure": "speed", "value": 2, "unit": "target tokens/s", "params": "1M", "notes": ""}
PEERS = f"""
[[peer]]
name = "made-up toolkit"
work = "training"
command = '''echo '{json.dumps(SPEED)}' '''
not_limited = "everything"

[[peer]]
name = "broken toolkit"
work = "greedy"
command = "exit 3"
"""


def compare(
    data: Path,
    model: Path,
    src: Path,
    *options: str,
    peers: str = PEERS,
    records: list[dict[str, object]] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run the comparison, with other toolkits, or going on from earlier records, in a folder of its own."""
    folder = src.parent
    (folder / "peers.toml").write_text(peers, encoding="utf-8")
    earlier = "".join(json.dumps(record) + "\n" for record in records or [])
    (folder / "records.jsonl").write_text(earlier, encoding="utf-8")
    command = [sys.executable, PEERS_PY, data, model, src, *options]
    command += ["--peers", folder / "peers.toml", "--records", folder / "records.jsonl"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table(output: str, title: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    lines = output.split(f"**{title}**\n\n")[1].split("\n\n")[0].splitlines()
    return [line.strip().removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]


def test_one_round_of_training_beside_a_toolkit_that_works_and_one_that_does_not(
    toy_data: PreparedData, tmp_path: Path
) -> None:
    options = ["--rounds", "1", "--steps", "4", "--hide-avx512", "--only", "training: nmt, fp32$", "--only", "toolkit"]
    done = compare(toy_data.folder, tmp_path, tmp_path / "text", *options)
    assert done.returncode == 0, done.stderr
    assert "everything newer than AVX2 hidden" in done.stdout
    assert "Not limited to AVX2: everything of made-up toolkit." in done.stdout
    assert "failed: exit 3" in done.stderr
    own, made_up = table(done.stdout, "Training")
    assert own[0] == "nmt, fp32"
    assert own[-2].endswith(" %")
    assert made_up[:4] == ["made-up toolkit", "1M", "2", "2"]
    assert float(made_up[-1]) == pytest.approx(float(own[2].replace(",", "")) / 2, rel=0.5)  # both rounded
    kept = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {record["row"] for record in kept} == {"machine", own[0], made_up[0]}


@pytest.mark.slow
def test_one_round_of_searching(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ba da\n" * 10, encoding="utf-8")
    only = ("greedy: nmt, fp32, 15", "beam 5: nmt, fp32, lines")
    options = ["--rounds", "1", *(part for each in only for part in ("--only", each))]
    done = compare(tmp_path, toy_model, tmp_path / "text", *options)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in table(done.stdout, "Greedy")] == ["nmt, fp32, 15 pieces a sentence"]
    assert [row[0] for row in table(done.stdout, "Beam 5")] == ["nmt, fp32, lines to lines"]


def test_tables_have_what_earlier_runs_measured_in_medians_of_rounds(tmp_path: Path) -> None:
    about = {"work": "training", "hidden": False, "commit": "abc"}
    ours = {**SPEED, "peer": "nmt", "notes": "bf16, full softmax", **about, "row": "nmt, auto"}
    theirs = {**SPEED, **about, "row": "made-up toolkit"}
    records = [ours | {"round": number, "value": value} for number, value in enumerate((30, 10, 20), 1)]
    records += [theirs | {"round": number, "value": value} for number, value in enumerate((4, 5, 8), 1)]
    records.append(theirs | {"round": 4, "value": 1000, "hidden": True})
    done = compare(tmp_path, tmp_path, tmp_path / "text", "--rounds", "0", records=records)
    assert table(done.stdout, "Training") == [
        ["nmt, auto (bf16)", "1M", "20", "30, 10, 20", "", ""],
        ["made-up toolkit", "1M", "5", "4, 5, 8", "", "4.00"],
    ]


def test_a_work_that_is_not_known_ends_the_comparison(tmp_path: Path) -> None:
    peers = PEERS.replace("greedy", "speed")
    done = compare(tmp_path, tmp_path, tmp_path / "text", peers=peers)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/peers.toml: no such work: speed; expected one of training, ")
