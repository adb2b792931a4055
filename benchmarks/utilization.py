"""How much of what the machine can do t5rank uses.

MFU is by the model's own operation count over the maker's figure; the ceiling is the rate of a
large matrix product, measured in the same run.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t5rank.models.operations import peak_operations


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `figures` needs."""
    parser.add_argument("--dtype", default="float32", help="of the activations, of all systems")
    parser.add_argument("--product_size", type=int, default=2048, help="of the ceiling's product")
    parser.add_argument("--peak_tflops", type=float, help="the maker's figure, where not known")


def figures(
    operations: float, tokens: int, seconds: float, options: argparse.Namespace
) -> dict[str, float]:
    """Tokens and operations a second and the ceiling; MFU where the maker's figure is known."""
    rate = operations / seconds
    ceiling = _product_rate(options.dtype, options.product_size)
    found = {
        "tokens_per_s": tokens / seconds,
        "flops": rate,
        "ceiling_flops": ceiling,
        "share_of_ceiling": rate / ceiling,
    }
    stated = options.peak_tflops and options.peak_tflops * 1e12
    if peak := stated or peak_operations(jax.local_devices()[0]):
        found["mfu"] = rate / peak
    return found


def as_text(found: dict[str, Any]) -> str:
    """One line."""
    text = (
        f"t5rank: {found['tokens_per_s']:,.0f} tokens/s, {found['flops'] / 1e12:.3g} TFLOP/s, "
        f"{found['share_of_ceiling']:.0%} of a large matrix product's "
        f"{found['ceiling_flops'] / 1e12:.3g}"
    )
    return text + (f"; MFU {found['mfu']:.0%}" if "mfu" in found else "")


def _product_rate(dtype: str, size: int, turns: int = 5) -> float:
    x = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
    product = jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        product(x, x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / float(np.median(seconds))
