"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil

import pytest

import t5rank

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(t5rank.__path__, "t5rank.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_of(name):
    module = importlib.import_module(name)
    # Modules may import jax.numpy lazily; examples are written as a user would write them.
    import jax
    import jax.numpy as jnp

    result = doctest.testmod(module, extraglobs={"jax": jax, "jnp": jnp})
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(examples) > 10
