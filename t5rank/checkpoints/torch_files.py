"""Reads PyTorch's files of a state dict, without PyTorch and without running code in them.

A file is a zip of a pickle and of the tensors' bytes. The pickle may build tensors and
dictionaries; anything else in it is an error.
"""

import collections
import functools
import io
import pickle
import zipfile
from typing import Any

import ml_dtypes
import numpy as np
from etils import epath

from t5rank.checkpoints.sources import LazyArray

_STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "BoolStorage": np.dtype("?"),
}


def read(file: epath.Path) -> dict[str, LazyArray]:
    """The tensors of a file by name.

    Raises:
      ValueError: the file is damaged, older than PyTorch 1.6, or holds more than tensors.
    """
    try:
        with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            folder = pickled.removesuffix("data.pkl")
            state = _Unpickler(archive.read(pickled), file, folder).load()
        if not isinstance(state, dict):
            raise ValueError(f"a {type(state).__name__}")
        return {name: array for name, array in state.items() if isinstance(array, LazyArray)}
    except (ValueError, KeyError, StopIteration, zipfile.BadZipFile, pickle.PickleError) as error:
        raise ValueError(
            f"PyTorch file '{file}' has an error: {error}; expected the state dict that "
            "`torch.save` writes since 1.6. Save the model again with transformers' "
            "save_pretrained, which writes safetensors."
        ) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, file: epath.Path, folder: str):
        super().__init__(io.BytesIO(data))
        self._file = file
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"'{module}.{name}', which is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"{pid!r}, which is no storage")
        return f"{self._folder}data/{key}", dtype

    def _tensor(self, storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> LazyArray:
        entry, dtype = storage
        load = functools.partial(_read, self._file, entry, dtype, offset, tuple(shape), stride)
        return LazyArray(tuple(shape), dtype, load)


def _read(
    file: epath.Path, entry: str, dtype: np.dtype, offset: int, shape: tuple[int, ...], stride: Any
) -> np.ndarray:
    try:
        with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            values = np.frombuffer(archive.read(entry), np.uint8).view(dtype)[offset:]
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"PyTorch file '{file}' has no readable entry '{entry}'; expected a whole file."
        ) from error
    needed = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if 0 in shape or len(values) < needed:
        raise ValueError(
            f"PyTorch file '{file}' has {len(values)} numbers in '{entry}'; expected {needed}."
        )
    strides = [s * dtype.itemsize for s in stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(values, shape, strides))
