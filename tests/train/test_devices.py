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

from t5rank.models import partitioning
from t5rank.models.config import T5Config
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.retrieval import RetrievalModel
from t5rank.train import layouts, schedules

LAYOUTS = ("padded", "packed")
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_devices
folder, vocabulary = Path(sys.argv[2]), sys.argv[3]
task = test_devices.small_runs.make_task(folder, vocabulary, "devices")
found = *test_devices.runs(task, vocabulary, folder, 2), test_devices.in_batch_loss()
print(test_devices.json.dumps(found))
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


def in_batch_loss():
    """Loss and gradients of queries against the documents of all devices, hard negatives too."""
    config = T5Config(50, 16, 2, 1, 0, 8, 32, ("gelu", "linear"), dropout_rate=0.0)
    model = RetrievalModel(DualEncoder(config, 8), VectorHead())
    params = model.get_initial_variables(jax.random.key(0), {"encoder_input_tokens": (1, 1, 8)})
    rng = np.random.default_rng(0)
    shape = (16, 4)  # lists of a query, its document and two hard negatives
    batch = {
        "encoder_input_tokens": rng.integers(3, 50, (*shape, 8)).astype(np.int32),
        "label": np.tile(np.float32([0, 1, 0, 0]), (16, 1)),
        "mask": np.tile([False, True, True, True], (16, 1)),
        "keys": np.arange(1, 65, dtype=np.int32).reshape(shape),
        "relevant_keys": np.zeros((16, 1), np.int32),
    }
    batch = layouts.pack(batch, 8, row_length=24)
    mesh = partitioning.make_mesh(1)
    step = partitioning.on_mesh(jax.value_and_grad(model.loss_and_sums, has_aux=True), mesh)
    on_devices = jax.device_put(batch, partitioning.batch_sharding(mesh))
    (loss, _), grads = jax.jit(step)(params["params"], on_devices, None)
    return float(loss), [np.asarray(leaf).ravel().tolist() for leaf in jax.tree.leaves(grads)]


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
    devices, many, in_batch = on_eight(tmp_path, vocabulary_file)
    device, one = runs(task, vocabulary_file, tmp_path / "one", 1)
    assert (device, devices) == (1, 8)
    for layout in LAYOUTS:
        np.testing.assert_allclose(many[layout][0], one[layout][0], rtol=2e-5)
        assert many[layout][1] == pytest.approx(one[layout][1])
    loss, grads = in_batch_loss()
    np.testing.assert_allclose(in_batch[0], loss, rtol=1e-6)
    for many_grads, one_grads in zip(in_batch[1], grads, strict=True):
        np.testing.assert_allclose(many_grads, one_grads, rtol=0, atol=5e-6)
    assert np.abs(np.concatenate(grads)).max() > 1e-2
