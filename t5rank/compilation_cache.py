"""Compiled programs kept on disk, so that the next process need not compile them."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Turns on JAX's compilation cache in `t5rank/jax` of the user's cache folder.

    The command line calls this; importing t5rank does not. JAX's own settings come first:
    `JAX_COMPILATION_CACHE_DIR` for another folder, `JAX_ENABLE_COMPILATION_CACHE=false` for none.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(base, "t5rank", "jax")))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX's own least time, 1 s, would leave out the program of a single batch shape.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def program_folder() -> Path | None:
    """Where whole programs are kept: in JAX's cache folder. None where there is no such folder."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not folder or "://" in folder or not jax.config.values["jax_enable_compilation_cache"]:
        return None
    return Path(folder, "t5rank")
