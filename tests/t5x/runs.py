"""Runs T5X's scripts and reads what they wrote."""

import os
import subprocess
import sys
from pathlib import Path

RUNS = "t5rank/configs/runs"
RECIPES = "t5rank/configs/recipes"
PATHS = {
    *("MODEL_DIR", "INITIAL_CHECKPOINT_PATH", "CHECKPOINT_PATH"),
    *("EVAL_OUTPUT_DIR", "INFER_OUTPUT_DIR"),
}


class Reference(str):
    """A value that gin reads as it is, such as `@losses.softmax_loss`."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def t5x(script, *gin_files, devices=1, flags=(), fails=False, environment=None, **bindings):
    """Runs `python -m t5x.SCRIPT`; returns its output.

    Paths are relative, as in the README, unless a file of T5X's own runs it: that takes none.
    """
    is_ours = any(str(file).startswith(RUNS) for file in gin_files)
    for name in PATHS & bindings.keys() if is_ours else ():
        bindings[name] = bindings[name] and os.path.relpath(bindings[name])
    command = [sys.executable, "-m", f"t5x.{script}"]
    command += [f"--gin_file={file}" for file in gin_files]
    command += [f"--gin.{name.replace('__', '.')}={value!r}" for name, value in bindings.items()]
    variables = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **(environment or {}),
    }
    done = subprocess.run(
        [*command, *flags], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr[-5000:]
    return done.stdout + done.stderr


def scalars(folder, tag) -> dict[int, float]:
    """A TensorBoard curve: step to value."""
    import tensorflow as tf

    found = {}
    for file in sorted(Path(folder).glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == tag:
                    tensor = value.HasField("tensor")
                    found[event.step] = (
                        float(tf.make_ndarray(value.tensor)) if tensor else value.simple_value
                    )
    return found
