"""Compiled programs kept on disk, so that the next process need not compile them.

There are two ways, and a process has one of them. JAX's compilation cache keeps any program, but
the next process traces it all the same. Whole score programs (`t5rank.inference.programs`) are only
read; XLA cannot write one that came out of JAX's cache.

The command line turns either on; importing t5rank does not. JAX's own settings come first:
`JAX_COMPILATION_CACHE_DIR` for another folder, `JAX_ENABLE_COMPILATION_CACHE=false` for none.
"""

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

_DIRECTORY = "jax_compilation_cache_dir"
_folder: Path | None = None


def use_compilation_cache() -> None:
    """Turns on JAX's compilation cache, in `t5rank/jax` of the user's cache folder."""
    if jax.config.values[_DIRECTORY] is None:
        jax.config.update(_DIRECTORY, str(_user_folder() / "jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX's own least time, 1 s, would leave out the program of a single batch shape.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def keep_programs() -> None:
    """Keeps whole score programs, in `t5rank/programs` of the user's cache folder.

    They stand in for JAX's cache, which is turned off. In a bucket, JAX's cache stays what it is.
    """
    global _folder
    chosen = jax.config.values[_DIRECTORY]
    if not jax.config.values["jax_enable_compilation_cache"] or "://" in (chosen or ""):
        return
    _folder = Path(chosen, "t5rank") if chosen else _user_folder() / "programs"
    jax.config.update(_DIRECTORY, None)
    compilation_cache.reset_cache()


def program_folder() -> Path | None:
    """Where whole score programs are kept; None where they are not."""
    return _folder if jax.config.values[_DIRECTORY] is None else None


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "t5rank")
