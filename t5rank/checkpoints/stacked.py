"""Turns the parameters of T5X's scalable_t5 into those of T5.

scalable_t5 stacks layers on axis 1, has an axis for the heads, and has a relative position bias in
every layer. `encoder/encoder/mlp/wo/kernel` `[mlp, layers, embed]` becomes
`encoder/layers_i/mlp/wo/kernel`, and `.../attention/query/kernel` `[embed, layers, heads, kv]`
becomes `[embed, joined_kv]`. A stacked array is read when the first of its layers is asked for, and
is in memory until all its layers have been read.
"""

import functools
import re
import threading
from collections.abc import Mapping

import numpy as np

from t5rank.checkpoints.sources import LazyArray

_STACKED = re.compile(r"(encoder|decoder)/\1/(.*)")
_RELPOS = re.compile(r"((?:encoder|decoder)/)layers_\d+/(relpos_bias/rel_embedding)")


def is_stacked(names: Mapping[str, object]) -> bool:
    """Whether some names are those of scalable_t5."""
    return any(_STACKED.fullmatch(name) for name in names)


class _Stack:
    """A stacked array, kept until every layer has been read."""

    def __init__(self, array: LazyArray):
        self._array = array
        self._lock = threading.Lock()
        self._value: np.ndarray | None = None
        self._unread = set(range(array.shape[1]))

    def layer(self, i: int) -> np.ndarray:
        with self._lock:
            value = self._array.read() if self._value is None else self._value
            self._unread.discard(i)
            self._value = value if self._unread else None
        return np.ascontiguousarray(value[:, i])


def unstack(arrays: Mapping[str, LazyArray], what: str) -> dict[str, LazyArray]:
    """The same parameters, with a name for every layer.

    Raises:
      ValueError: a stacked parameter has no layers on axis 1.
    """
    result = {}
    for name, array in arrays.items():
        match = _STACKED.fullmatch(name)
        if match is None:
            result[name] = array
            continue
        if len(array.shape) < 2:
            raise ValueError(
                f"{what} has '{name}' of shape {array.shape}; expected the layers on axis 1."
            )
        stack, shape = _Stack(array), array.shape[:1] + array.shape[2:]
        for i in range(array.shape[1]):
            result[f"{match[1]}/layers_{i}/{match[2]}"] = LazyArray(
                shape, array.dtype, functools.partial(stack.layer, i)
            )
    return result


def join_heads(arrays: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    """Attention kernels `[embed, heads, kv]` and `[heads, kv, embed]` as matrices."""
    return {
        name: _joined(array, first=name.endswith("/out/kernel"))
        if name.endswith("/kernel") and len(array.shape) == 3
        else array
        for name, array in arrays.items()
    }


def _joined(array: LazyArray, first: bool) -> LazyArray:
    a, b, c = array.shape
    shape = (a * b, c) if first else (a, b * c)
    return LazyArray(shape, array.dtype, lambda: array.read().reshape(shape))


def share_relpos(arrays: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    """Keeps one relative position bias of a stack, if all its layers have the same one."""
    tables: dict[str, list[str]] = {}
    for name in arrays:
        match = _RELPOS.fullmatch(name)
        if match:
            tables.setdefault(match[1] + match[2], []).append(name)
    for names in tables.values():
        first, *rest = (arrays[name].read() for name in names)
        if not all(np.array_equal(first, table) for table in rest):
            return dict(arrays)
    shared = {name: arrays[names[0]] for name, names in tables.items()}
    layered = {name for names in tables.values() for name in names}
    return shared | {name: array for name, array in arrays.items() if name not in layered}
