import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from t5rank import checkpoints
from t5rank.checkpoints import LazyArray, orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.train import optimizers

ADAMW = optimizers.adamw()
SGD = optimizers.OptimizerDef(optax.sgd)


def params(scale: float = 1.0) -> dict:
    return {"a": {"kernel": scale * jnp.arange(6.0).reshape(2, 3)}, "b": scale * jnp.ones(2)}


def test_a_checkpoint_gives_back_parameters_and_optimizer_state_bit_for_bit(tmp_path):
    optimizer = ADAMW.create(params()).apply_gradient(params(0.3), learning_rate=1e-3)
    with checkpoints.Checkpointer(tmp_path) as saver:
        saver.save(3, optimizer)
        saver.wait()
        restored = saver.restore(3, ADAMW.create(params(0.0)))
    assert int(restored.state.step) == 1
    jax.tree.map(np.testing.assert_array_equal, restored, optimizer)


def test_the_layout_is_t5xs(tmp_path):
    """`checkpoint_N/state` holds {target, state: {step, param_states}}, read by orbax."""
    import orbax.checkpoint as ocp

    with checkpoints.Checkpointer(tmp_path) as saver:
        saver.save(7, ADAMW.create(params()))
    folder = tmp_path / "checkpoint_7" / "state"
    tree = ocp.PyTreeCheckpointer().restore(folder)
    assert set(tree) == {"target", "state"}
    assert set(tree["state"]) == {"step", "param_states"}
    assert int(tree["state"]["step"]) == 0
    np.testing.assert_array_equal(tree["target"]["a"]["kernel"], params()["a"]["kernel"])


def test_parameters_alone_are_no_state_to_resume_from(tmp_path):
    arrays = {"b": LazyArray((2,), np.dtype("f4"), lambda: np.ones(2, np.float32))}
    orbax_writing.write_orbax(path(tmp_path), 3, arrays)
    wanted = {"b": jnp.ones(2)}
    with (
        checkpoints.Checkpointer(tmp_path) as saver,
        pytest.raises(ValueError, match=r"checkpoint_3' has another state .* converted model\?"),
    ):
        saver.restore(3, ADAMW.create(wanted))


def test_the_latest_and_the_best_stay(tmp_path):
    with checkpoints.Checkpointer(tmp_path, keep=2) as saver:
        for step in range(1, 6):
            if step == 2:
                saver.best_step = 2
            saver.save(step, SGD.create(params(step)))
        saver.wait()
    assert checkpoints.steps(tmp_path) == [2, 4, 5]


def test_parameters_alone_are_restored(tmp_path):
    with checkpoints.Checkpointer(tmp_path) as saver:
        saver.save(1, ADAMW.create(params()))
    restored = checkpoints.restore_params(tmp_path / "checkpoint_1", params(0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, params())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("b"), "an unknown parameter 'b'"),
        (lambda p: p.update(c=jnp.ones(1)), "no parameter 'c'"),
        (lambda p: p.update(b=jnp.ones(3)), r"'b' of shape \(2,\) where \(3,\) is expected"),
    ],
)
def test_other_parameters_than_expected_are_named(tmp_path, change, message):
    with checkpoints.Checkpointer(tmp_path) as saver:
        saver.save(1, SGD.create(params()))
    expected = params()
    change(expected)
    with pytest.raises(ValueError, match=message):
        checkpoints.restore_params(tmp_path / "checkpoint_1", expected)


def test_a_folder_without_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist; expected a checkpoint: a checkpoint_N"):
        checkpoints.restore_params(tmp_path / "checkpoint_1", params())


def test_saving_does_not_see_what_happens_to_the_arrays_afterwards(tmp_path):
    change = jax.jit(lambda p: jax.tree.map(lambda x: x * 0 - 1, p), donate_argnums=0)
    state = params()
    with checkpoints.Checkpointer(tmp_path) as saver:
        saver.save(1, SGD.create(state))
        change(state)  # the next training step reuses the buffers
    restored = checkpoints.restore_params(tmp_path / "checkpoint_1", params(0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, params())


def test_unfinished_checkpoints_do_not_count(tmp_path):
    (tmp_path / "checkpoint_5.orbax-checkpoint-tmp-1").mkdir()
    (tmp_path / "checkpoint_4").mkdir()
    assert checkpoints.steps(tmp_path) == [4]
    assert checkpoints.steps(tmp_path / "nowhere") == []
