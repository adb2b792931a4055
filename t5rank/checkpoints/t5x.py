"""T5X's two layouts of a checkpoint.

* orbax: `checkpoint_N/state`, with the tree `{target, state: {step, param_states}}`.
* legacy (`use_orbax=False`): `checkpoint_N/checkpoint`, a msgpack of `{version, optimizer: {target,
  state}}` whose leaves are arrays, or tensorstore specs of zarr folders beside it.

`t5rank.checkpoints.orbax_writing` writes the first with orbax. Reading does without orbax, which
takes seconds to import and to describe a checkpoint.
"""

import functools
import json
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import tensorstore
from etils import epath

from t5rank.checkpoints import paths, stacked
from t5rank.checkpoints.sources import LazyArray, Source

STATE = "state"
INDEX = "checkpoint"
_OCDBT = "manifest.ocdbt"
_TARGET = "target"


def read_orbax(folder: epath.Path) -> Source:
    """The parameters of a `checkpoint_N` folder, or of its `state`.

    Raises:
      ValueError: its description is damaged, or it has no `target`.
    """
    state = folder / STATE if (folder / STATE).is_dir() else folder
    what = f"Checkpoint '{folder}'"
    try:
        description = _description(state)
        zarr3 = _is_zarr3(state, description)
        tree = _orbax_tree(state, description, zarr3)
    except Exception as error:  # orbax and tensorstore raise errors of many types
        raise ValueError(
            f"{what} has an error: {_brief(error)}; expected T5X's orbax layout."
        ) from (error)
    arrays = {}
    for name, leaf in _flat_target(tree, what).items():
        store = _orbax_store(state, f"target.{name.replace('/', '.')}", zarr3)
        arrays[name] = _array(what, name, tuple(leaf.shape), leaf.dtype, store)
    step = paths.step_of(folder if state != folder else folder.parent)
    return Source(str(folder), "T5X orbax", _layered(arrays, what), step=step or 0)


def _description(state: epath.Path) -> dict[str, Any] | None:
    """Orbax's description of the tree; an early version wrote none."""
    file = state / "_METADATA"
    return json.loads(file.read_text()) if file.is_file() else None


def _is_zarr3(state: epath.Path, description: dict[str, Any] | None) -> bool:
    if description is not None:
        return bool(description.get("use_zarr3", False))
    return not (state / _OCDBT).is_file() and any(state.glob("*/zarr.json"))


def _orbax_tree(state: epath.Path, description: dict[str, Any] | None, zarr3: bool) -> Any:
    """The tree with the shape and type of every parameter."""
    if description is None:
        return _tree_by_orbax(state)
    tree: dict[tuple, Any] = {}
    opening: dict[tuple, Any] = {}
    for entry in description["tree_metadata"].values():
        path = tuple(key["key"] for key in entry["key_metadata"])
        if entry["value_metadata"].get("skip_deserialize"):  # an empty dict
            continue
        tree[path] = None
        if path[0] == _TARGET:
            store = _orbax_store(state, ".".join(path), zarr3)
            opening[path] = tensorstore.open(store, open=True, read=True)  # all at once
    for path, future in opening.items():
        opened = future.result()
        tree[path] = jax.ShapeDtypeStruct(opened.shape, opened.dtype.numpy_dtype)
    return flax.traverse_util.unflatten_dict(tree)


def _tree_by_orbax(state: epath.Path) -> Any:
    import orbax.checkpoint as ocp

    # A Checkpointer would warn of a file that belongs to the folder above.
    handler = ocp.PyTreeCheckpointHandler()
    try:
        return handler.metadata(state).tree
    finally:
        handler.close()


def _orbax_store(state: epath.Path, key: str, zarr3: bool) -> dict[str, Any]:
    driver = "zarr3" if zarr3 else "zarr"
    if (state / _OCDBT).is_file():
        base = paths.key_value_store(state)
        return {"driver": driver, "kvstore": {"driver": "ocdbt", "base": base, "path": f"{key}/"}}
    return {"driver": driver, "kvstore": paths.key_value_store(state / key)} | _missing_chunks(key)


def read_legacy(location: epath.Path) -> Source:
    """The parameters of a `checkpoint_N` folder, or of a msgpack file.

    Raises:
      ValueError: the file is damaged, or it has no `target`.
    """
    index = location / INDEX if location.is_dir() else location
    what = f"Checkpoint '{location}'"
    try:
        tree = flax.serialization.msgpack_restore(index.read_bytes())
    except Exception as error:  # msgpack raises errors of many types
        raise ValueError(
            f"{what} has an error: {_brief(error)}; expected T5X's msgpack file. "
            "Is it cut short, or no checkpoint?"
        ) from error
    arrays = {}
    tree = tree.get("optimizer", tree) if isinstance(tree, dict) else {}
    for name, leaf in _flat_target(tree, what, is_leaf=_is_spec).items():
        arrays[name] = _legacy_array(what, name, leaf, index.parent)
    step = tree.get("state", {}).get("step", 0)
    if isinstance(step, dict) or np.ndim(step):  # a spec; the folder's name says the step, too
        step = paths.step_of(index.parent) or 0
    return Source(str(location), "T5X legacy", _layered(arrays, what), step=int(step))


def _is_spec(value: Any) -> bool:
    return isinstance(value, dict) and {"driver", "metadata"} <= set(value)


def _legacy_array(what: str, name: str, leaf: Any, folder: epath.Path) -> LazyArray:
    if not _is_spec(leaf):
        value = np.asarray(leaf)
        return LazyArray(value.shape, value.dtype, lambda: value)
    # The path is relative to the checkpoint. Old files have it beside the kvstore.
    key = (leaf.get("kvstore", {}).get("path") or leaf["path"]).strip("/").split("/")[-1]
    store = {"driver": "zarr", "kvstore": paths.key_value_store(folder / key)}
    dtype = leaf.get("dtype") or leaf["metadata"]["dtype"]
    return _array(
        what, name, tuple(leaf["metadata"]["shape"]), dtype, store | _missing_chunks(name)
    )


def _missing_chunks(name: str) -> dict[str, Any]:
    """Makes a missing chunk an error, except for a bias: a chunk is not written if it is zero."""
    return {} if name.endswith("bias") else {"fill_missing_data_reads": False}


def _array(what: str, name: str, shape: tuple[int, ...], dtype: Any, store: Any) -> LazyArray:
    return LazyArray(shape, jnp.dtype(dtype), functools.partial(_read, what, name, shape, store))


def _read(what: str, name: str, shape: tuple[int, ...], store: dict[str, Any]) -> np.ndarray:
    try:
        opened = tensorstore.open(store, open=True, read=True).result()
        value = opened.read().result()
    except Exception as error:  # tensorstore's type depends on the file system
        raise ValueError(
            f"{what} has no readable parameter '{name}': {_brief(error)}; expected its whole "
            "files. Is the copy complete?"
        ) from error
    if value.shape != shape:
        raise ValueError(f"{what} has '{name}' of shape {value.shape}; its index says {shape}.")
    return value


def _brief(error: Exception) -> str:
    return (str(error) or repr(error)).split("\n")[0][:200]


def _flat_target(tree: Any, what: str, is_leaf: Any = None) -> dict[str, Any]:
    target = tree.get("target") if isinstance(tree, dict) else None
    if not target:
        has = sorted(tree) if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(f"{what} has {has}; expected the parameters under 'target'.")
    leaf = None if is_leaf is None else lambda _, value: is_leaf(value)
    return flax.traverse_util.flatten_dict(target, is_leaf=leaf, sep="/")


def _layered(arrays: dict[str, LazyArray], what: str) -> dict[str, LazyArray]:
    if stacked.is_stacked(arrays):
        arrays = stacked.unstack(arrays, what)
    return stacked.share_relpos(stacked.join_heads(arrays))
