"""Restores a model's parameters from a `Source`: some are restored, some new, some left over.

A parameter has the same name in the checkpoint and in the model, unless an assignment map says
otherwise. The map is T5X's: a list of pairs, called rules. The first part of a rule is a regular
expression that is matched against a whole name of the *model*, such as
`target/decoder/layers_0/mlp/wo/kernel`. The second part is the name to read from the checkpoint
(with groups as `\\1`), or None to start the parameter from scratch. The first rule that matches
decides. Rules about `state/`, which is the optimizer's part, are accepted and do nothing: a new run
starts with a new optimizer.

A rule that matches nothing is an error, as in T5X. Two things are not as in T5X. A parameter that
is not in the checkpoint is an error unless a rule starts it from scratch: it would silently stay
random. And a rule holds even where the checkpoint also has the model's name; T5X then drops the
rule.

A parameter of the checkpoint that the model has no place for is left over. That is an error, with
two exceptions. A decoder is left over without an error where the model has none. And where a map
names parameters, anything may be left over, because the author of the map has looked at the names.
"""

import concurrent.futures
import dataclasses
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp

from t5rank.checkpoints import architecture
from t5rank.checkpoints.opening import open_checkpoint
from t5rank.checkpoints.sources import LazyArray, Source
from t5rank.models import kinds
from t5rank.types import PyTree

_log = logging.getLogger(__name__)

AssignmentMap = Sequence[tuple[str, str | None]]
_TARGET = "target/"
_READERS = 4  # arrays that are read at once


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What became of a checkpoint's parameters.

    Attributes:
      path: the checkpoint.
      format: its format.
      restored: for each of the model's parameters that was restored, its name in the checkpoint.
      new: the model's parameters that start from scratch.
      left_over: the checkpoint's parameters that the model has no place for.
    """

    path: str
    format: str
    restored: Mapping[str, str]
    new: tuple[str, ...]
    left_over: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.restored) + len(self.new)
        lines = [
            f"Restored {len(self.restored)} of {total} arrays of '{self.path}', {self.format}."
        ]
        renamed = [f"{a} from {b}" for a, b in self.restored.items() if a != b]
        for what, names in (
            ("Under other names", renamed),
            ("New, from scratch", self.new),
            ("Left over", self.left_over),
        ):
            if names:
                lines.append(f"{what} ({len(names)}): {_some(names)}.")
        return "\n".join(lines)


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def match(source: Source, wanted: architecture.Shapes, rules: AssignmentMap = ()) -> RestoreReport:
    """Decides which array of a checkpoint becomes which parameter.

    Args:
      source: an open checkpoint.
      wanted: the model's shapes by name.
      rules: see the module's description.

    Raises:
      ValueError: a parameter is missing, has another shape, is not of floating point or is left
        over, or a rule is wrong.
    """
    found = source.shapes
    skipped, renamed = _apply(rules, wanted, found, source.path)
    pairs = {name: renamed.get(name, name) for name in wanted if name not in skipped}
    used = set(pairs.values())
    left_over = [name for name in found if name not in used]
    _check(source, wanted, pairs, _unexcused(left_over, wanted, rules))
    return RestoreReport(
        source.path,
        source.format,
        pairs,
        tuple(name for name in wanted if name in skipped),
        (*left_over, *source.others),
    )


def _apply(
    rules: AssignmentMap, wanted: Iterable[str], found: Mapping[str, Any], path: str
) -> tuple[set[str], dict[str, str]]:
    skipped, renamed, used = set(), {}, set()
    for name in wanted:
        for pattern, replacement in rules:
            matched = re.fullmatch(pattern, _TARGET + name)
            if matched is None:
                continue
            used.add(pattern)
            if replacement is None:
                skipped.add(name)
                break
            renamed[name] = matched.expand(replacement).removeprefix(_TARGET)
            if renamed[name] not in found:
                raise ValueError(
                    f"Checkpoint '{path}' has no parameter '{renamed[name]}', which the assignment "
                    f"map's {(pattern, replacement)} names; expected one of its {len(found)}, such "
                    f"as '{next(iter(found), None)}'."
                )
            break
    unused = [p for p, _ in rules if p not in used and not p.startswith("state")]
    if unused:
        raise ValueError(
            f"Assignment map has patterns that match no parameter: {unused}; expected regular "
            f"expressions of whole names such as '{_TARGET}{next(iter(wanted), '')}'."
        )
    return skipped, renamed


def _unexcused(left: list[str], wanted: Iterable[str], rules: AssignmentMap) -> list[str]:
    if any(not pattern.startswith("state") for pattern, _ in rules):
        return []
    has_decoder = any(name.startswith("decoder/") for name in wanted)
    return [name for name in left if has_decoder or not name.startswith("decoder/")]


def _check(
    source: Source, wanted: architecture.Shapes, pairs: Mapping[str, str], left: list[str]
) -> None:
    found = source.shapes
    problems = [f"no parameter '{was}'" for was in pairs.values() if was not in found]
    problems += [f"an unknown parameter '{name}'" for name in left]
    for name, was in pairs.items():
        if was in found and found[was] != wanted[name]:
            expected = f"of shape {found[was]} where {wanted[name]} is expected"
            problems.append(f"'{was}' {expected}")
        elif was in found and not jnp.issubdtype(source.arrays[was].dtype, jnp.floating):
            problems.append(f"'{was}' of type {source.arrays[was].dtype}, not floating point")
    if problems:
        raise ValueError(_message(source, wanted, problems))


def _message(source: Source, wanted: architecture.Shapes, problems: list[str]) -> str:
    sizes = [
        f"{name} {has!r} where {wants!r} is expected"
        for name, has, wants in architecture.differences(source.shapes, wanted)
    ]
    more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
    advice = "Is it another size or version of T5?"
    new = {f"no parameter '{n}'": n for k in kinds.known().values() for n in k.new_parameters}
    if all(problem in new for problem in problems):
        modules = sorted({new[problem].rpartition("/")[0] for problem in problems})
        rules = ", ".join(f"(r'{_TARGET}{module}/.*', None)" for module in modules)
        advice = f"Start the head from scratch with the assignment map ({rules},)."
    return (
        f"Checkpoint '{source.path}' has {'; '.join([*sizes, *problems[:3]])}{more}; expected the "
        f"parameters of the configured model. {advice}"
    )


def restore(
    path: str | os.PathLike[str], params: PyTree, assignment_map: AssignmentMap = ()
) -> tuple[PyTree, RestoreReport]:
    """Restores parameters from a checkpoint of any format, and logs what became of them.

    Args:
      path: see `open_checkpoint`.
      params: the model's parameters as arrays or ShapeDtypeStructs; they give shapes, types and
        shardings.
      assignment_map: see the module's description.

    Returns:
      The parameters that were restored, and the report.

    Raises:
      ValueError: there is no checkpoint, it is damaged, or it does not fit the model.
    """
    restored, report = _restore(path, params, assignment_map)
    for line in str(report).split("\n"):
        _log.info("%s", line)
    return restored, report


def restore_params(path: str | os.PathLike[str], params: PyTree) -> PyTree:
    """Restores every parameter from one checkpoint; see `restore`.

    Raises:
      ValueError: there is no such checkpoint, or its parameters are others than `params`.
    """
    return _restore(path, params, ())[0]


def _restore(
    path: str | os.PathLike[str], params: PyTree, rules: AssignmentMap
) -> tuple[PyTree, RestoreReport]:
    flat = flax.traverse_util.flatten_dict(flax.core.unfreeze(params), sep="/")
    source = open_checkpoint(path)
    report = match(source, {name: tuple(leaf.shape) for name, leaf in flat.items()}, rules)
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        # The order is the checkpoint's, so that stacked layers are read together.
        order = {name: i for i, name in enumerate(source.arrays)}
        pairs = sorted(report.restored.items(), key=lambda pair: order[pair[1]])
        values = pool.map(lambda pair: _place(source.arrays[pair[1]], flat[pair[0]]), pairs)
        arrays = dict(zip((name for name, _ in pairs), values, strict=True))
    return flax.traverse_util.unflatten_dict(arrays, sep="/"), report


def merge(params: PyTree, restored: PyTree) -> PyTree:
    """The parameters, in which restored ones replace those of the same name."""
    flat = [flax.traverse_util.flatten_dict(tree, sep="/") for tree in (params, restored)]
    return flax.traverse_util.unflatten_dict(flat[0] | flat[1], sep="/")


def _place(array: LazyArray, parameter: Any) -> jax.Array:
    value = array.read().astype(parameter.dtype, copy=False)
    sharding = getattr(parameter, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])
