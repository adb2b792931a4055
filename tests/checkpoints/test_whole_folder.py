"""A full disk, as the kernel and as C++ libraries tell of it."""

import errno

import pytest
from etils import epath

from t5rank.checkpoints import safetensors_files
from t5rank.checkpoints.whole_folder import whole_folder
from t5rank.formats.writing import WriteError, writing

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("RESOURCE_EXHAUSTED: Error writing local file; No space left on device\nat x"),
]


@pytest.mark.parametrize("error", FULL, ids=["kernel", "library"])
@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_left_of_a_folder_where_the_disk_is_full(tmp_path, error, exists):
    target = epath.Path(tmp_path / "model")
    if exists:
        target.mkdir()
    with (
        pytest.raises(WriteError, match=r"Folder '.*/model' cannot be written: No space left on"),
        whole_folder(target) as folder,
    ):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        (folder / "checkpoint_1").mkdir()
        raise error
    assert [*tmp_path.rglob("*")] == [tmp_path / "model"] * exists


def test_a_folder_gets_its_name_at_the_end(tmp_path):
    target = epath.Path(tmp_path / "model")
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "left").write_text("by a process that was killed")
    with whole_folder(target) as folder:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        assert not target.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "config.json"]


def test_the_file_that_was_written_is_named(tmp_path, monkeypatch):
    def fail(self, mode):
        raise FULL[0]

    file = epath.Path(tmp_path / "model.safetensors")
    monkeypatch.setattr(type(file), "open", fail)
    with (
        pytest.raises(WriteError, match=r"^File '.*model\.safetensors' cannot be written"),
        writing("Folder 'x'"),
    ):
        safetensors_files.write(file, {})


def test_another_error_stays_as_it_is():
    with pytest.raises(ValueError, match=r"^another$"), writing("File 'x'"):
        raise ValueError("another")
