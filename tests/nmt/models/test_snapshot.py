from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from nmt.models.snapshot import Snapshot, safetensors_of

TENSORS = {
    "b": torch.arange(6.0).view(2, 3),
    "a": torch.tensor([0.1, -2.0, 3.0]).bfloat16(),
    "step": torch.tensor(7.0),
    "über": torch.zeros(0, 4),
}


def test_a_snapshot_stays_as_it_is_while_its_tensors_change() -> None:
    weight, turned = torch.ones(2, 3), torch.arange(6.0).view(2, 3).t()
    snapshot = Snapshot({"weight": weight, "turned": turned})
    weight.fill_(5.0)
    found = snapshot.tensors()
    assert torch.equal(found["weight"], torch.ones(2, 3))
    assert torch.equal(found["turned"], turned)
    assert found["turned"].is_contiguous()


@pytest.mark.parametrize("tensors", [TENSORS, {"a": TENSORS["b"]}, {}], ids=["several", "one", "none"])
def test_a_file_has_the_bytes_that_the_library_writes(tensors: dict[str, Tensor]) -> None:
    assert b"".join(safetensors_of(tensors)) == save(tensors)
    assert b"".join(safetensors_of(tensors, {"state": '{"a": "ä"}'})) == save(tensors, {"state": '{"a": "ä"}'})


def test_the_library_reads_it_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.writelines(safetensors_of(TENSORS, {"state": "s", "sha256": "d"}))
    found = load_file(path)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    with safe_open(path, framework="pt") as read:
        assert read.metadata() == {"state": "s", "sha256": "d"}
