"""Files of compiled programs.

A program is machine code: whoever loads it runs it. So files are kept in the user's cache folder,
never in a model folder, which may be somebody else's, and a file of another user is not read.

A file's name says what is computed and on what; inside stands with which versions it was compiled.
A new version therefore replaces the programs of the one before.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
from jax.sharding import Mesh

import t5rank
from t5rank.process.cores import core_count
from t5rank.types import PyTree

_MAGIC = b"t5rank program 1\n"
# What is computed.
_SOURCES = (
    "models/*.py",
    "inference/packing.py",
    "inference/program*.py",
    "inference/scoring.py",
)
_OF_NO_PROGRAM = ("jax_compilation_cache", "jax_persistent_cache", "jax_enable_compilation_cache")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_CPU = ("model name", "flags", "Features", "CPU implementer", "CPU part")  # x86, then ARM


class ProgramFile:
    """The file of one program.

    Args:
      folder: of all programs.
      what: what is computed and on what: anything that JSON takes.
    """

    def __init__(self, folder: Path, what: Mapping[str, Any]):
        self._folder = folder
        self._what = json.loads(json.dumps(what))
        name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:40]
        self._file = folder / f"{name}.program"

    def read(self) -> bytes:
        """The program.

        Raises:
          FileNotFoundError: there is none.
          ValueError: the file is damaged, of other versions or of another user.
        """
        with self._file.open("rb") as file:
            _check_owner(os.fstat(file.fileno()).st_uid)
            magic, digest, rest = file.readline(100), file.readline(100), file.read()
        if magic != _MAGIC or digest.strip() != hashlib.sha256(rest).hexdigest().encode():
            raise ValueError("it is damaged.")
        header, _, program = rest.partition(b"\n")
        written = json.loads(header)
        if written["what"] != self._what:
            raise ValueError("it is another program under this one's name.")
        differing = [name for name, now in versions().items() if written["by"].get(name) != now]
        if differing:
            raise ValueError(f"it was compiled by another version of {', '.join(differing)}.")
        return zlib.decompress(program)

    def write(self, program: bytes) -> None:
        """Writes all of it, or nothing.

        Raises:
          OSError: it cannot be written.
        """
        header = json.dumps({"what": self._what, "by": versions()}).encode()
        rest = header + b"\n" + zlib.compress(program, 1)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, partial = tempfile.mkstemp(dir=self._folder, suffix=".partial")
        try:
            with open(number, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            os.replace(partial, self._file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise


_ROOT = 0


def _check_owner(owner: int) -> None:
    if hasattr(os, "geteuid") and owner not in (_ROOT, os.geteuid()):
        raise ValueError("it belongs to another user.")


@functools.cache
def versions() -> dict[str, str]:
    """Of all that makes a program of a function."""
    package = Path(__file__).parents[1]
    files = sorted(file for pattern in _SOURCES for file in package.glob(pattern))
    sources = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "t5rank": f"{t5rank.__version__}, {sources[:16]}",
    }


def machine(mesh: Mesh) -> dict[str, Any]:
    """What a program is compiled for, and the settings that it is compiled by."""
    devices: Sequence[jax.Device] = list(mesh.devices.flat)
    client = devices[0].client
    settings = {
        name: repr(value)
        for name, value in sorted(jax.config.values.items())
        if not name.startswith(_OF_NO_PROGRAM)
    }
    return {
        "mesh": [[name, size] for name, size in mesh.shape.items()],
        "devices": [[device.id, device.device_kind] for device in devices],
        "platform": [client.platform, client.platform_version],
        "cpu": _cpu() if client.platform == "cpu" else None,
        "flags": {name: os.environ.get(name, "") for name in _FLAGS},
        "settings": settings,
    }


@functools.cache
def _cpu() -> list[str]:
    """This machine's processor and instructions; programs also count on its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n\n")[0].splitlines() if info.is_file() else []
    features = [line for line in lines if line.split("\t")[0].strip() in _CPU]
    return [platform.machine(), platform.processor(), str(core_count()), *features]


def parameters(params: PyTree) -> str:
    """Names, shapes, types and places of parameters, in short."""
    lines = [
        f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype} {getattr(leaf, 'sharding', None)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
