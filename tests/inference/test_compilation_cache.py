import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from t5rank.inference.compilation_cache import use_compilation_cache

FOLDER = "jax_compilation_cache_dir"


@pytest.fixture(autouse=True)
def restored():
    before = jax.config.values[FOLDER]
    yield
    jax.config.update(FOLDER, before)
    compilation_cache.reset_cache()


def test_programs_are_kept_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    jax.config.update(FOLDER, None)
    compilation_cache.reset_cache()
    use_compilation_cache()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.jit(lambda x: jnp.sin(x) * 12345.0)(jnp.ones(7))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    assert list((tmp_path / "t5rank" / "jax").iterdir())


def test_a_folder_that_the_user_chose_is_kept(tmp_path):
    jax.config.update(FOLDER, str(tmp_path))
    use_compilation_cache()
    assert jax.config.values[FOLDER] == str(tmp_path)
