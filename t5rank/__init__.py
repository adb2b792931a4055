"""t5rank: fine-tune, evaluate and use T5 rerankers in JAX."""

__version__ = "0.1.0"
