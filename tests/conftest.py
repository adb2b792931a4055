import gc
import os
import pathlib
import sys

import hypothesis
import pytest

sys.path.append(str(pathlib.Path(__file__).parent / "common"))

# Tests run small programs once: compiling them fast matters more than running them fast.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("XLA_FLAGS", " ".join(QUICK_TO_COMPILE))
# A loaded machine is slow, and that is no fault.
hypothesis.settings.register_profile(
    "loaded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("loaded")
gc.set_threshold(200_000, 50, 100)  # tracing makes many objects, few of them garbage


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Many tests compile the same small programs: compile each once, sub-processes included."""
    import jax

    folder = str(tmp_path_factory.getbasetemp().parent / "compiled")  # one for all workers
    settings = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(autouse=True)
def own_kept_programs(monkeypatch, compilation_cache):
    """What a command keeps stays in its test, and JAX's cache stays on after it."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache as jax_cache

    folder = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setattr("t5rank.inference.compilation_cache._folder", None)
    yield
    if jax.config.values["jax_compilation_cache_dir"] != folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax_cache.reset_cache()


@pytest.fixture(autouse=True)
def own_tasks_and_gin():
    """What a test registers with seqio, or binds with gin, is gone after it."""
    yield from _without_leftovers()


@pytest.fixture(autouse=True, scope="module")
def own_tasks_and_gin_of_the_module():
    """The same for the fixtures of a module."""
    yield from _without_leftovers()


def _without_leftovers():
    before = _registered_tasks()
    yield
    for name in _registered_tasks() - before:
        from t5rank.tasks import mixtures, registry

        sys.modules["seqio"].TaskRegistry.remove(name)
        sys.modules["seqio"].MixtureRegistry.remove(name)
        registry._registered.pop(name, None)
        mixtures._mixtures.pop(name, None)
    if "gin" in sys.modules:
        sys.modules["gin"].clear_config()


def _registered_tasks() -> set[str]:
    seqio = sys.modules.get("seqio")
    return {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()} if seqio else set()


@pytest.fixture(scope="session")
def shared_data(pytestconfig) -> pathlib.Path:
    """The folder with copies of public data, which are not part of the repository."""
    default = pytestconfig.rootpath.parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("T5RANK_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set T5RANK_SHARED_DATA to the folder of the real data")
    return folder


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory) -> str:
    """A small SentencePiece vocabulary with T5's special ids, trained on Python's help texts."""
    from pydoc_data.topics import topics

    from t5rank.quickstart.corpus import train_vocabulary

    file = tmp_path_factory.mktemp("vocabulary") / "small.model"
    train_vocabulary([" ".join(text.split()) for text in topics.values()], file, size=1000)
    return str(file)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory, vocabulary_file) -> pathlib.Path:
    """The folder of a small model; tests must leave it as it was."""
    from small_models import save_model

    return save_model(tmp_path_factory.mktemp("small") / "tiny", vocabulary_file)
