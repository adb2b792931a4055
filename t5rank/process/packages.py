"""The packages of the extras: imported when needed, and named in an error when missing."""

import importlib
import importlib.util
from types import ModuleType

# For each extra, its purpose and the packages that are imported.
EXTRAS = {
    "beam": ("Apache Beam (give it an environment of its own)", ("apache_beam",)),
    "faiss": ("approximate search", ("faiss",)),
    "gcs": ("gs:// paths", ("google.cloud.storage",)),
    "ir-datasets": ("datasets of ir_datasets", ("ir_datasets",)),
    "onnx": ("models in ONNX's format", ("onnx", "onnxruntime")),
    "parquet": ("parquet files", ("pyarrow",)),
    "qdrant": ("collections of Qdrant", ("qdrant_client",)),
    "report": ("pictures", ("matplotlib",)),
    "serve": ("the server", ("msgspec", "prometheus_client", "starlette", "uvicorn")),
    "train": (
        "training",
        ("clu", "gin", "matplotlib", "optax", "seqio", "tensorboard", "tensorflow"),
    ),
}


class MissingExtra(ImportError):
    """A package of an extra cannot be imported; the message says what to install."""


def require(extra: str, package: str) -> ModuleType:
    """Imports a package of an extra.

    Raises:
      MissingExtra: it cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise _missing(extra, package, f"cannot be imported ({error})") from error


def check_installed(extra: str) -> None:
    """Checks that the packages of an extra are installed. Imports none, which can take seconds.

    Raises:
      MissingExtra: one is not installed.
    """
    for package in EXTRAS[extra][1]:
        if not is_installed(package):
            raise _missing(extra, package, "is not installed")


def is_installed(package: str) -> bool:
    """Whether a package is installed."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _missing(extra: str, package: str, has: str) -> MissingExtra:
    return MissingExtra(
        f"Package '{package}' {has}; expected it for {EXTRAS[extra][0]}. "
        f"Install it with: pip install 't5rank[{extra}]'"
    )
