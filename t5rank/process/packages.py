"""The packages of the extra `onnx`, imported when they are needed."""

import importlib
from types import ModuleType


def require(name: str) -> ModuleType:
    """Imports `onnx` or `onnxruntime`.

    Raises:
      ValueError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"Package '{name}' has no installation here ({error}); expected one, for models in "
            "ONNX's format. Install it with: pip install 't5rank[onnx]'"
        ) from error
