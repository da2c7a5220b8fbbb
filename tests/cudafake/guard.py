"""The guard, a CUDA device without memory: compiled once for each torch, and loaded before torch is."""

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")


class CannotCompileError(Exception):
    """There is no compiler here, or it refuses the guard."""


def compiled(folder: Path) -> Path:
    """Compile the guard into `folder`, unless it is there already."""
    spec, compiler = importlib.util.find_spec("torch"), shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise CannotCompileError("no C++ compiler")
    assert spec is not None
    assert spec.origin is not None
    version = importlib.metadata.version("torch")
    library = folder / f"guard-{version}-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if library.exists():
        return library
    torch, unfinished = Path(spec.origin).parent, library.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O1", "-shared", "-fPIC", "-std=c++20", f"-I{torch}/include", str(SOURCE)]
    command += ["-o", str(unfinished), f"-L{torch}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch}/lib"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotCompileError("the C++ compiler refuses the fake GPU's guard")
    unfinished.replace(library)  # another process may have been as fast
    return library


def load(library: Path) -> None:
    """Give this process, which has not imported torch yet, a CUDA device: it never loses it again."""
    ctypes.CDLL(str(library))
    from tests.cudafake import device

    device.pretend()
