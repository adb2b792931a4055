"""`Source`: a checkpoint that is read array by array, under T5X's names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from t5rank.models.network import T5Config


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array on disk, which `load` reads."""

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]

    def read(self) -> np.ndarray:
        """Reads the array.

        Raises:
          ValueError: its file is missing or damaged.
        """
        return self.load()

    @property
    def T(self) -> "LazyArray":  # noqa: N802, the name is numpy's
        return LazyArray(self.shape[::-1], self.dtype, lambda: np.ascontiguousarray(self.read().T))

    def as_float32(self) -> "LazyArray":
        return LazyArray(
            self.shape, np.dtype(np.float32), lambda: self.read().astype(np.float32, copy=False)
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint, open for reading.

    Attributes:
      path: where it is.
      format: the name of its format for people, such as "T5X orbax".
      arrays: parameters by their names in T5X's tree, such as `encoder/encoder_norm/scale`.
      others: names of tensors that are no parameters of T5.
      step: the step of training; 0 if it is not known.
      config: the architecture, if the checkpoint says it.
      settings: head, prompt and input length, if t5rank wrote them.
      vocabulary: the vocabulary file beside it, if any.
      tokenizer: the folder of a tokenizer's settings, if any; see
        `t5rank.text.vocabulary.Vocabulary`.
    """

    path: str
    format: str
    arrays: Mapping[str, LazyArray]
    others: tuple[str, ...] = ()
    step: int = 0
    config: T5Config | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vocabulary: str | None = None
    tokenizer: str | None = None

    def __repr__(self) -> str:
        step = f", step {self.step}" if self.step else ""
        return f"Source({self.path!r}, {self.format}, {len(self.arrays)} arrays{step})"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.arrays.items()}
