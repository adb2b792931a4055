"""t5rank: fine-tune, evaluate and use T5 rerankers and retrievers in JAX."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t5rank.inference.embedder import Embedder
    from t5rank.inference.reranker import RankedDocument, Reranker

__version__ = "0.1.0"
__all__ = ["Embedder", "RankedDocument", "Reranker", "__version__"]


def __getattr__(name: str) -> Any:
    # A lazy import: `from t5rank import losses` needs neither Flax nor orbax.
    if name == "Embedder":
        from t5rank.inference import embedder

        return embedder.Embedder
    if name in ("RankedDocument", "Reranker"):
        from t5rank.inference import reranker

        return getattr(reranker, name)
    raise AttributeError(f"module 't5rank' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
