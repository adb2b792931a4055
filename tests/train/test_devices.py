"""Eight simulated devices, in a process of their own, beside the one of this process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import small_runs

from t5rank.train import layouts, schedules

LAYOUTS = ("padded", "packed")
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_devices
folder, vocabulary = Path(sys.argv[2]), sys.argv[3]
task = test_devices.small_runs.make_task(folder, vocabulary, "devices")
print(test_devices.json.dumps(test_devices.runs(task, vocabulary, folder, 2)))
"""


def runs(task, vocabulary_file, folder, model_parallel):
    """Devices, and by layout the losses and the last validation.

    Padded batches drop the same numbers on any mesh; packed rows depend on it.
    """
    found = {}
    for layout in LAYOUTS:
        trainer = small_runs.make_trainer(
            task,
            vocabulary_file,
            folder / layout,
            model=small_runs.make_model(vocabulary_file, dropout=0.1 * (layout == "padded")),
            layout=getattr(layouts, layout),
            parameter_partitioning_dims=2,
            train_steps=5,
            learning_rate_fn=schedules.constant(1e-2),
            eval_period=5,
            model_parallel=model_parallel,
        )
        metrics = trainer.train().metrics
        found[layout] = small_runs.curve(trainer), metrics
    return jax.device_count(), found


def on_eight(folder, vocabulary_file):
    flags = [os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(folder), vocabulary_file],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags)},
        cwd=folder,  # the package that is installed, not the sources beside it
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_give_the_losses_of_one(task, vocabulary_file, tmp_path):
    devices, many = on_eight(tmp_path, vocabulary_file)
    device, one = runs(task, vocabulary_file, tmp_path / "one", 1)
    assert (device, devices) == (1, 8)
    for layout in LAYOUTS:
        np.testing.assert_allclose(many[layout][0], one[layout][0], rtol=2e-5)
        assert many[layout][1] == pytest.approx(one[layout][1])
