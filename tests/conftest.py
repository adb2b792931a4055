import os
import pathlib

import pytest

# Tests run small programs once: compiling them fast matters more than running them fast.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Many tests compile the same small programs: compile each once, sub-processes included."""
    import jax

    folder = str(tmp_path_factory.mktemp("compiled"))
    settings = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(scope="session")
def shared_data(pytestconfig) -> pathlib.Path:
    """The folder with copies of public data, which are not part of the repository."""
    default = pytestconfig.rootpath.parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("T5RANK_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set T5RANK_SHARED_DATA to the folder of the real data")
    return folder


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory) -> pathlib.Path:
    """A small vocabulary, trained on the documentation of Python's built-in objects."""
    import builtins

    from t5rank.quickstart import corpus

    file = tmp_path_factory.mktemp("vocabulary") / "vocabulary.model"
    texts = [value.__doc__ or "" for _, value in sorted(vars(builtins).items())]
    corpus.train_vocabulary([line for text in texts for line in text.splitlines()], file, size=400)
    return file
