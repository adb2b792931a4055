"""What of a parsed gin configuration reaches the trainer, and what is bound for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gin import config as gin_config

from t5rank.train.gin_files import Binding, Reference
from t5rank.train.macros import MACRO

Key = tuple[str, str]  # scope, selector
_REQUIRED = "%gin.REQUIRED"


def check_effects(bindings: Sequence[Binding]) -> None:
    """Raises ValueError for a macro without a value, and for what is bound and read by nothing.

    Bindings of t5rank's own files may be left over: a recipe replaces what they bound.

    Args:
      bindings: all lines of the configuration that gin has parsed.
    """
    read, undefined = _read()
    for name in undefined:
        raise ValueError(_no_value(name, _mentions(bindings, f"%{name}")))
    for scope, selector in sorted(read):
        value = gin_config._CONFIG[scope, selector]
        if selector == MACRO and repr(value.get("value")) == _REQUIRED:
            raise ValueError(_no_value(scope, _last(bindings, scope)))
    _check_macros({scope for scope, selector in read if selector == MACRO}, bindings)
    _check_parameters(read, bindings)


def entries_read() -> set[Key]:
    """The entries of the parsed configuration that the trainer reads."""
    return _read()[0]


def _read() -> tuple[set[Key], list[str]]:
    """The entries of the configuration that the trainer reads, and macros that have none."""
    trainers = [selector for _, selector in gin_config._CONFIG if selector.endswith("loop.Trainer")]
    todo: list[tuple[tuple[str, ...], str]] = [((), selector) for selector in trainers]
    seen, read, undefined = set(), set(), []
    while todo:
        scopes, selector = todo.pop()
        if (scopes, selector) in seen:
            continue
        seen.add((scopes, selector))
        keys = [("/".join(scopes[:n]), selector) for n in range(len(scopes) + 1)]
        found = [key for key in keys if key in gin_config._CONFIG]
        if selector == MACRO and not found:
            undefined.append("/".join(scopes))
        read.update(found)
        for reference in _references([gin_config._CONFIG[key] for key in found]):
            if reference.configurable.selector == "gin.constant":
                continue
            own = tuple(reference.scopes)
            # A function that is not called here is called outside of every scope.
            for active in {own or scopes, own}:
                todo.append((active, reference.configurable.selector))
    return read, undefined


def _references(value: Any) -> Iterator[gin_config.ConfigurableReference]:
    if isinstance(value, gin_config.ConfigurableReference):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _references(list(pair))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _references(item)


def _check_macros(used: set[str], bindings: Sequence[Binding]) -> None:
    macros = {scope for scope, selector in gin_config._CONFIG if selector == MACRO}
    theirs = {b.name for b in bindings if not b.parameter and not b.is_ours}
    unused = sorted((macros - used) & theirs)
    if unused:
        place = _last(bindings, unused[0])
        raise ValueError(
            f"Macro '{unused[0]}' has no effect in this configuration{_at(place)}; expected one of "
            f"{sorted(used)}. Is it misspelt, or left over from another recipe? "
            f"All without effect: {', '.join(unused)}."
        )


def _check_parameters(read: set[Key], bindings: Sequence[Binding]) -> None:
    for scope, selector in sorted(gin_config._CONFIG.keys() - read):
        if selector == MACRO:
            continue
        for binding in bindings:
            if not binding.is_ours and binding.parameter and _binds(binding, scope, selector):
                in_use = _in_use(read, selector)
                raise ValueError(
                    f"Binding '{binding.name}' in {binding.place} has no effect: nothing reads it "
                    f"in this configuration; expected a binding of what is in use: {in_use}. "
                    "Remove it, or choose what it is for."
                )


def _binds(binding: Binding, scope: str, selector: str) -> bool:
    first, _, rest = binding.selector.partition(".")
    written = ".".join(filter(None, (binding.modules.get(first, first), rest)))
    same = f".{written}".endswith(f".{selector}") or f".{selector}".endswith(f".{written}")
    return binding.scope == scope and same


def _in_use(read: set[Key], selector: str) -> str:
    """What is read of the same module; else all that is."""
    names = {
        f"{scope}/{name}" if scope else name
        for scope, name in read
        if name != MACRO and not name.endswith("loop.Trainer")
    }
    names |= {_written(name) for name in _referenced(read)}
    module = selector.rpartition(".")[0].rpartition(".")[2]
    near = {name for name in names if f".{name}".rpartition(".")[0].endswith(f".{module}")}
    return ", ".join(sorted(near or names))


def _referenced(read: set[Key]) -> Iterator[gin_config.ConfigurableReference]:
    for key in read:
        for reference in _references(gin_config._CONFIG[key]):
            if reference.configurable.selector not in (MACRO, "gin.constant"):
                yield reference


def _written(reference: gin_config.ConfigurableReference) -> str:
    return "/".join([*reference.scopes, reference.configurable.selector])


def _mentions(bindings: Sequence[Binding], name: str) -> Binding | None:
    found = [b for b in bindings if name in map(str, _names(b.value))]
    return found[-1] if found else None


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Reference):
        yield value.name
    elif isinstance(value, dict):
        yield from _names([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _names(item)


def _last(bindings: Sequence[Binding], macro: str) -> Binding | None:
    found = [b for b in bindings if not b.parameter and b.name == macro]
    return found[-1] if found else None


def _at(binding: Binding | None) -> str:
    return "" if binding is None else f" ({binding.place})"


def _no_value(name: str, binding: Binding | None) -> str:
    return (
        f"Macro '{name}'{_at(binding)} has no value; expected one. Set it in the recipe, or give "
        f"--gin.{name}=VALUE."
    )
