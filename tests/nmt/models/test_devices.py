import ctypes
import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from nmt.errors import ConfigError, NmtWarning
from nmt.models import devices
from nmt.models.devices import (
    Precision,
    autocast,
    choose_device,
    choose_precision,
    choose_search_precision,
    choose_training_precision,
    give_back_memory,
    prepare_for_search,
    prepare_for_training,
    why_auto,
)
from nmt.models.fused_layers import set_tf32

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
_FOR_TRAINING = partial(prepare_for_training, precision="fp32")


@pytest.fixture
def without_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)


@pytest.fixture
def without_avx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")


@pytest.fixture
def with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name in ("_is_avx512_bf16_supported", "_is_vnni_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: True)


@pytest.mark.usefixtures("with_all")
def test_an_asked_precision_is_kept_and_auto_follows_the_hardware() -> None:
    assert [choose_precision(name, CPU) for name in ("fp32", "bf16", "auto")] == ["fp32", "bf16", "bf16"]
    assert [choose_search_precision(name, CPU) for name in ("fp32", "bf16", "int8")] == ["fp32", "bf16", "int8"]
    assert choose_search_precision("auto", CPU) == "int8"


@pytest.mark.usefixtures("without_avx512")
def test_without_avx512_there_are_8_bit_integers_but_no_bf16() -> None:
    assert choose_precision("auto", CPU) == "fp32"
    assert [choose_search_precision(name, CPU) for name in ("auto", "int8")] == ["int8", "int8"]
    expected = '^precision "bf16" needs a processor that multiplies it, which this one does not; using "fp32"$'
    with pytest.warns(NmtWarning, match=expected):
        assert choose_precision("bf16", CPU) == "fp32"


@pytest.mark.usefixtures("without_avx")
def test_what_the_hardware_lacks_is_replaced_with_a_warning() -> None:
    assert choose_search_precision("auto", CPU) == "fp32"
    expected = '^precision "int8" needs a processor with AVX2, which this one lacks; using "fp32"$'
    with pytest.warns(NmtWarning, match=expected):
        assert choose_search_precision("int8", CPU) == "fp32"


@pytest.mark.parametrize("nearest", ["bf16", "fp32"])
def test_on_a_gpu_the_nearest_to_8_bit_integers_is_used(nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: nearest == "bf16")
    monkeypatch.setattr(devices, "has_bf16_layers", lambda: True)
    with pytest.warns(NmtWarning, match=f'^precision "int8" is for CPUs; using "{nearest}"$'):
        assert choose_search_precision("int8", GPU) == nearest
    assert choose_search_precision("auto", GPU) == nearest


def test_auto_says_what_it_is_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(capability: str, *, vnni: bool = False, bf16: bool = False, device: torch.device = CPU) -> str:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.setattr(devices, "has_bf16_layers", lambda: True)
        return why_auto(device)

    fastest = 'precision "auto" is {} here: the fastest that loses nothing measurable ({})'
    nothing = 'precision "auto" is fp32 here: nothing that is faster is known of this machine'
    assert said("AVX512", vnni=True) == fastest.format("int8", "AVX-512 VNNI")
    assert said("AVX2") == fastest.format("int8", "AVX2")
    assert said("DEFAULT") == nothing
    gpu = torch.device("cuda")
    assert [said("AVX2", bf16=bf16, device=gpu) for bf16 in (True, False)] == [fastest.format("bf16", "GPU"), nothing]


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match='device "cuda" was requested, but torch finds no GPU'):
        choose_device("cuda")


def test_autocast_multiplies_in_the_chosen_precision() -> None:
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32


def gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let torch see so many GPUs; return the list of those that get chosen."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize("index", [0, 1])
def test_each_process_of_a_machine_gets_a_gpu_of_its_own(
    name: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = gpus(2, monkeypatch)
    assert choose_device(name, index=index) == torch.device("cuda", index)
    assert chosen == [index]


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_more_processes_than_gpus_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = gpus(2, monkeypatch)
    with pytest.raises(ConfigError, match=r"^process 2 of this machine finds only 2 GPUs; start fewer$"):
        choose_device(name, index=2)
    assert chosen == []


def test_a_process_that_is_to_see_one_gpu_takes_it_whatever_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = gpus(1, monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert choose_device("auto", index=3) == GPU
    assert chosen == [0]
    for several in ("0,1", None):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", several) if several else monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with pytest.raises(ConfigError, match=r"^process 3 of this machine finds only 1 GPU; start fewer$"):
            choose_device("auto", index=3)


def test_on_a_cpu_the_number_of_the_process_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = gpus(0, monkeypatch)
    assert choose_device("auto", index=3) == CPU
    gpus(1, monkeypatch)
    assert choose_device("cpu", index=3) == CPU
    assert chosen == []


def test_training_on_a_cpu_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX; what mallopt takes is a C int
    assert asked_of_mallopt(monkeypatch, largest=2**31) == [(-3, 2**30), (-1, 2**31 - 1), (-2, 2**28), (-8, 1)]


def test_an_older_glibc_is_asked_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [(-3, 2**30), (-3, 2**25), (-1, 2**31 - 1), (-2, 2**28), (-8, 1)]
    assert asked_of_mallopt(monkeypatch, largest=2**25) == expected


def test_where_the_threshold_cannot_be_set_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_of_mallopt(monkeypatch, largest=0) == [(-3, 2**30), (-3, 2**25)]


def test_search_on_a_cpu_has_one_thread_and_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    asked = asked_of_mallopt(monkeypatch, largest=2**31, prepare=prepare_for_search)
    assert threads == [1]
    assert asked == asked_of_mallopt(monkeypatch, largest=2**31)


def test_search_on_a_gpu_leaves_threads_and_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: pytest.fail("the threads of the CPU were set"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("the allocator of the CPU was asked for"))
    tf32_switches(monkeypatch, now=True)
    prepare_for_search(GPU)


def asked_of_mallopt(
    monkeypatch: pytest.MonkeyPatch, *, largest: int, prepare: Callable[[torch.device], None] = _FOR_TRAINING
) -> list[tuple[int, int]]:
    """Prepare with a glibc that takes thresholds up to `largest`."""
    calls = []

    def mallopt(parameter: int, value: int) -> int:
        calls.append((parameter, value))
        return int(parameter != -3 or value <= largest)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    prepare(CPU)
    return calls


def test_training_on_a_cpu_lets_onednn_keep_little_but_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "0")
    prepare_for_training(CPU, "fp32")
    assert os.environ[name] == "0"
    monkeypatch.delenv(name)
    prepare_for_training(CPU, "fp32")
    assert os.environ[name] == "256"


def test_freed_memory_is_given_back_where_the_allocator_can(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[int]()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=calls.append))
    give_back_memory()
    assert calls == [0]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    give_back_memory()


def test_another_allocator_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    prepare_for_training(CPU, "fp32")


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_on_a_gpu_fp32_is_fp32_and_what_a_narrower_precision_leaves_is_tf32(
    precision: Precision, tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches = tf32_switches(monkeypatch, now=not tf32)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("the allocator of the CPU was asked for"))
    prepare_for_training(GPU, precision)
    assert [switch.allow_tf32 for switch in switches] == [tf32, tf32]


def test_search_in_fp32_on_a_gpu_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    switches = tf32_switches(monkeypatch, now=True)
    prepare_for_search(GPU)
    assert [switch.allow_tf32 for switch in switches] == [False, False]


def tf32_switches(monkeypatch: pytest.MonkeyPatch, *, now: bool) -> list[SimpleNamespace]:
    products, layers = SimpleNamespace(allow_tf32=now), SimpleNamespace(allow_tf32=now)
    monkeypatch.setattr(torch.backends.cuda, "matmul", products)
    monkeypatch.setattr(torch.backends, "cudnn", layers)
    return [products, layers]


def test_this_torch_has_the_switches_of_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for allowed in (True, False):
        set_tf32(allowed)
        assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == allowed
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_training_on_a_gpu_lets_cublas_repeat_its_sums_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    tf32_switches(monkeypatch, now=False)
    monkeypatch.setenv(name, ":16:8")
    prepare_for_training(GPU, "bf16")
    assert os.environ[name] == ":16:8"
    monkeypatch.delenv(name)
    prepare_for_training(GPU, "bf16")
    assert os.environ[name] == ":4096:8"


@pytest.mark.parametrize(("cudnn", "version"), [(91200, "2.13.0"), (None, "2.13.0"), (91300, "2.9.1")])
def test_a_gpu_without_recurrent_layers_in_bf16_is_said_so(
    cudnn: int | None, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(version=lambda: cudnn))
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.warns(NmtWarning, match=r"^lstm, gru and rnn layers compute in fp32: in bf16 they need cuDNN 9\.13 "):
        assert choose_precision("auto", GPU) == "bf16"


@pytest.mark.parametrize("version", ["2.10.0+cu130", "2.13.1"])
def test_a_gpu_with_recurrent_layers_in_bf16_needs_no_word(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(version=lambda: 91900))
    monkeypatch.setattr(torch, "__version__", version)
    assert choose_precision("bf16", GPU) == "bf16"


def test_fp16_is_for_gpus_and_for_those_who_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_training_precision("fp16", GPU) == "fp16"
    monkeypatch.setattr(devices, "has_bf16", lambda device: False)
    assert choose_training_precision("auto", GPU) == "fp32"
    with pytest.warns(NmtWarning, match=r'^precision "fp16" is for GPUs; using "fp32"$'):
        assert choose_training_precision("fp16", CPU) == "fp32"
