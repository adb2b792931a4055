"""Safetensors files: eight bytes of length, a JSON header, then the tensors' bytes.

They are read and written here because the package `safetensors` knows only local files, and needs
all tensors of a file at once.
"""

import functools
import json
from collections.abc import Mapping

import ml_dtypes
import numpy as np
from etils import epath

from t5rank.checkpoints.sources import LazyArray
from t5rank.formats.writing import writing

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read(file: epath.Path) -> dict[str, LazyArray]:
    """The tensors of a file by name.

    Raises:
      ValueError: the file is cut short, or is no safetensors file.
    """
    size = file.stat().length
    try:
        with file.open("rb") as stream:
            start = 8 + int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(start - 8)) if start <= size else {}
        header.pop("__metadata__", None)
        end = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != size:
            raise ValueError(f"{size} bytes where its header says {end}")
        return {name: _tensor(file, start, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Safetensors file '{file}' has an error: {error}; expected a whole file. "
            "Is it cut short?"
        ) from error


def _tensor(file: epath.Path, start: int, entry: Mapping) -> LazyArray:
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if last - first != int(np.prod(shape)) * dtype.itemsize:
        raise ValueError(f"{last - first} bytes for {shape} of {dtype}")
    return LazyArray(
        shape, dtype, functools.partial(_read_bytes, file, start + first, shape, dtype)
    )


def _read_bytes(
    file: epath.Path, offset: int, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    with file.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(data, np.uint8).view(dtype).reshape(shape)


def write(file: epath.Path, arrays: Mapping[str, LazyArray]) -> None:
    """Writes float32 tensors, one at a time.

    Raises:
      WriteError: the disk is full.
    """
    header: dict = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in arrays.items():
        size = int(np.prod(array.shape)) * 4
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with writing(f"File '{file}'"), file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            stream.write(array.read().astype("<f4", copy=False).tobytes())
