"""Memory of a training step under every setting that trades it, as XLA plans it.

    python benchmarks/memory.py [--size small] [--devices 8] [--lists 16] [--list_size 10]
        [--row_length 256] [--output docs/pages/results/memory]

Programs are compiled for simulated devices and not run: any machine will do. Packed rows, AdamW.
What a device keeps is parameters, optimizer and batch; temporaries come on top in the step.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

DEVICES = "--xla_force_host_platform_device_count={}"
SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "bfloat16 activations": {"dtype": "bfloat16"},
    "REMAT_POLICY 'minimal'": {"remat_policy": "minimal"},
    "REMAT_POLICY 'full'": {"remat_policy": "full"},
    "the same with SCAN_LAYERS": {"remat_policy": "full", "scan_layers": True},
    "NUM_MICROBATCHES 2": {"num_microbatches": 2},
    "GRADIENT_CACHE_ROWS, an eighth of them": {"cached_parts": 8},
    "PARAMETER_PARTITIONING_DIMS 2": {"parameter_partitioning_dims": 2},
    "the same, moments in bfloat16": {
        "parameter_partitioning_dims": 2,
        "moment_dtype": "bfloat16",
    },
    "MODEL_PARALLEL 2, PARAMETER_PARTITIONING_DIMS 2": {
        "parameter_partitioning_dims": 2,
        "model_parallel": 2,
    },
}


def planned(options: argparse.Namespace, settings: dict[str, Any]) -> tuple[int, int]:
    """Bytes that a device keeps, and of its temporaries."""
    import jax
    import models

    from t5rank.models import network, partitioning, rankt5
    from t5rank.models.ranking import RankingModel
    from t5rank.train import optimizers
    from t5rank.train.step import make_train_step

    how = {k: v for k, v in settings.items() if k in ("dtype", "remat_policy", "scan_layers")}
    config = dataclasses.replace(models.CONFIGS[options.size], **how)
    mesh = partitioning.make_mesh(settings.get("model_parallel", 1))
    parts = settings.get("num_microbatches", 1)
    groups = partitioning.data_parallelism(mesh) * parts
    documents_a_row = 3  # of MS MARCO's in 256 tokens
    rows = -(-options.lists * options.list_size // (documents_a_row * groups))
    cached = settings.get("cached_parts")
    model = RankingModel(
        network.Transformer(config),
        rankt5.RankT5Head(7),
        num_microbatches=parts,
        gradient_cache_rows=None if cached is None else -(-groups * rows // cached),
    )
    optimizer_def = optimizers.adamw(moment_dtype=settings.get("moment_dtype", "float32"))
    rules = partitioning.logical_axis_rules(settings.get("parameter_partitioning_dims", 1))
    variables = jax.eval_shape(
        lambda: model.get_initial_variables(
            jax.random.key(0), {"encoder_input_tokens": (1, 1, 8)}
        ).unfreeze()
    )
    shapes = jax.eval_shape(optimizer_def.create, variables["params"])
    axes = partitioning.axis_names(variables["params_axes"])
    logical = optimizer_def.derive_logical_axes(shapes, axes)
    places = partitioning.shardings(shapes, logical, mesh, rules)

    def array(shape: tuple[int, ...], dtype: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    optimizer = jax.tree.map(lambda x, place: array(x.shape, x.dtype, place), shapes, places)
    split, slots = partitioning.batch_sharding(mesh), options.row_length // 32
    tokens, inputs = (groups, rows, options.row_length), (groups, rows, slots)
    batch = {
        "encoder_input_tokens": array(tokens, "int32", split),
        "encoder_segment_ids": array(tokens, "int32", split),
        "label": array(inputs, "float32", split),
        "mask": array(inputs, "bool", split),
        "list_ids": array(inputs, "int32", split),
    }
    step = jax.jit(
        partitioning.on_mesh(make_train_step(model, lambda _: 1e-4), mesh, rules),
        donate_argnums=0,
        out_shardings=(places, None),
    )
    memory = step.lower(optimizer, batch, jax.random.key(0)).compile().memory_analysis()
    return memory.argument_size_in_bytes, memory.temp_size_in_bytes


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="small")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--lists", type=int, default=16, help="of a step")
    parser.add_argument("--list_size", type=int, default=10)
    parser.add_argument("--row_length", type=int, default=256)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.png")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = DEVICES.format(options.devices)
    import timing

    found = {}
    for name, settings in SETTINGS.items():
        print(f"compiling: {name}", file=sys.stderr)
        found[name] = planned(options, settings)
    rows = [
        [name, *(f"{size / 2**20:,.0f}" for size in (*sizes, sum(sizes)))]
        for name, sizes in found.items()
    ]
    print(timing.table(["MiB a device", "kept", "temporary", "together"], rows))
    if options.output:
        timing.draw_stacks(
            {name: [size / 2**20 for size in sizes] for name, sizes in found.items()},
            ["kept", "temporary"],
            "MiB a device",
            options.output.with_suffix(".png"),
        )


if __name__ == "__main__":
    main()
