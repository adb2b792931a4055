"""Programs that are kept: what a second process computes, and files that it must not use."""

import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import small_models
from jax.experimental.compilation_cache import compilation_cache as jax_cache
from small_models import HEADS, make_model

from t5rank.inference import program_files
from t5rank.inference.compilation_cache import keep_programs, program_folder
from t5rank.inference.programs import Programs
from t5rank.inference.scoring import ModelScorer
from t5rank.models import ranking
from t5rank.process import cores

TOKENS = np.arange(1, 33, dtype=np.int32).reshape(1, 32)
SHAPE = (1, 2, 64)  # in which they are scored


@pytest.fixture
def folder(tmp_path):
    """An empty folder of programs."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    keep_programs()
    return tmp_path / "t5rank"


def make_scorer(kind: str = "rankt5", seed: int = 0) -> ModelScorer:
    return ModelScorer(*make_model(kind, seed))


@pytest.fixture
def compiled(monkeypatch):
    """The shapes that were compiled, not read."""
    shapes, original = [], Programs._compiled

    def counted(self, params, shape):
        shapes.append(shape)
        return original(self, params, shape)

    monkeypatch.setattr(Programs, "_compiled", counted)
    return shapes


@pytest.mark.parametrize("kind", HEADS)
def test_a_kept_program_gives_the_scores_of_a_fresh_one_to_the_bit(folder, compiled, kind):
    fresh = np.asarray(make_scorer(kind)(TOKENS))
    kept = np.asarray(make_scorer(kind)(TOKENS))
    assert compiled == [SHAPE]
    assert np.isfinite(fresh).all() and fresh.any()
    np.testing.assert_array_equal(kept, fresh)


def test_a_kept_program_is_not_of_one_models_parameters(folder, compiled):
    make_scorer(seed=0)(TOKENS)
    other = make_scorer(seed=1)
    expected = other.model.score(other.params, TOKENS)
    np.testing.assert_allclose(other(TOKENS), expected, atol=1e-6)
    assert compiled == [SHAPE]


def test_programs_of_other_models_shapes_and_machines_are_others(folder, compiled, monkeypatch):
    make_scorer()(TOKENS)
    make_scorer("monot5")(TOKENS)
    make_scorer()(TOKENS.repeat(3, 0))
    monkeypatch.setattr(program_files, "_cpu", lambda: ["another"])
    make_scorer()(TOKENS)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    make_scorer()(TOKENS)
    assert len(compiled) == len(list(folder.iterdir())) == 5


def stale(file, monkeypatch):
    now = program_files.versions()
    monkeypatch.setattr(program_files, "versions", lambda: now | {"jaxlib": "0.0.1"})
    return "another version of jaxlib"


def damaged(file, monkeypatch):
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    return "damaged"


def cut(file, monkeypatch):
    file.write_bytes(file.read_bytes()[:100])
    return "damaged"


def empty(file, monkeypatch):
    file.write_bytes(b"")
    return "damaged"


def renamed(file, monkeypatch):
    make_scorer("monot5")(TOKENS)
    (other,) = set(file.parent.iterdir()) - {file}
    shutil.copy(other, file)
    return "another program"


def of_another_user(file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(program_files, "_ROOT", os.getuid() + 2)
    return "another user"


def not_to_be_loaded(file, monkeypatch):
    """Whole, but no program."""
    what = {}
    original = program_files.ProgramFile.__init__

    def spied(self, folder, given):
        original(self, folder, given)
        what[self._file] = given

    monkeypatch.setattr(program_files.ProgramFile, "__init__", spied)
    make_scorer()(TOKENS)
    program_files.ProgramFile(file.parent, what[file]).write(b"no program")
    return "compiled anew"


FAULTS = (stale, damaged, cut, empty, renamed, of_another_user, not_to_be_loaded)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_to_be_used_is_said_and_replaced(
    folder, compiled, monkeypatch, caplog, fault
):
    expected = np.asarray(make_scorer()(TOKENS))
    (file,) = folder.iterdir()
    said = fault(file, monkeypatch)
    caplog.clear()
    compiled.clear()
    np.testing.assert_array_equal(make_scorer()(TOKENS), expected)
    assert compiled == [SHAPE]
    assert said in caplog.text
    if fault is not of_another_user:  # here, it stays another's for the tests' own processes
        make_scorer()(TOKENS)
        assert compiled == [SHAPE]


def test_a_fault_of_all_files_is_said_once(folder, caplog, monkeypatch):
    shapes = [(1, 32), (2, 32), (1, 40)]
    make_scorer().prepare(shapes)
    for file in folder.iterdir():
        file.write_bytes(b"")
    make_scorer().prepare(shapes)
    assert caplog.text.count("damaged") == 1


def test_several_programs_are_prepared_at_once(folder, compiled):
    shapes = [(n, 32) for n in range(1, 5)]
    scorer = make_scorer()
    scorer.prepare(shapes)
    assert sorted(compiled) == [(n, 2, 32) for n in range(1, 5)] and scorer.compiled == 4
    again = make_scorer()
    again.prepare(shapes)
    assert len(compiled) == 4 and again.compiled == 4


def test_an_error_of_compiling_ends_the_preparation(folder, monkeypatch):
    def broken(self, params, shape):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Programs, "_compiled", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        make_scorer().prepare([(1, 32), (2, 32)])


def full_disk(folder, monkeypatch):
    def failed(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(program_files.os, "replace", failed)


def a_file_in_place_of_the_folder(folder, monkeypatch):
    folder.write_text("")


@pytest.mark.parametrize("fault", [full_disk, a_file_in_place_of_the_folder])
def test_a_folder_that_takes_no_file_is_said_once_and_stops_nothing(
    folder, monkeypatch, caplog, fault
):
    fault(folder, monkeypatch)
    scorer = make_scorer()
    scorer.prepare([(1, 32), (2, 32)])
    assert np.isfinite(scorer(TOKENS)).all()
    assert caplog.text.count("cannot be kept") == 1
    assert not (folder.is_dir() and list(folder.iterdir()))


def test_without_a_cache_folder_nothing_is_kept(tmp_path, monkeypatch, compiled):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        keep_programs()
        for _ in range(2):
            assert np.isfinite(make_scorer()(TOKENS)).all()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        jax_cache.reset_cache()
    assert len(compiled) == 2 and not list(tmp_path.iterdir())


def test_the_folder_is_the_users_cache_folder_unless_another_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for directory, expected in (
        (None, tmp_path / "cache" / "t5rank" / "programs"),
        (str(tmp_path), tmp_path / "t5rank"),
    ):
        monkeypatch.setattr("t5rank.inference.compilation_cache._folder", None)
        jax.config.update("jax_compilation_cache_dir", directory)
        assert program_folder() is None
        keep_programs()
        assert program_folder() == expected


def test_what_came_out_of_jaxs_own_cache_is_not_kept(folder, tmp_path, compiled):
    """XLA writes such a program without its machine code."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    make_scorer()(TOKENS)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    make_scorer()(TOKENS)
    assert not folder.exists() and len(compiled) == 2


def test_a_model_that_is_not_all_ours_is_not_kept(folder):
    class Mine(ranking.RankingModel):
        pass

    scorer = make_scorer()
    mine = ModelScorer(Mine(scorer.model.module, scorer.model.head), scorer.params)
    assert np.isfinite(mine(TOKENS)).all()
    assert not folder.exists()


def test_the_source_is_part_of_the_version():
    assert len(program_files.versions()["t5rank"].split(", ")[1]) == 16
    assert str(cores.core_count()) in program_files._cpu()


PROCESS = """
import sys
import jax, numpy as np
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
from t5rank.inference.compilation_cache import keep_programs
keep_programs()
sys.path += sys.argv[2:]
import test_programs
scorer = test_programs.make_scorer()
print(jax.device_count(), np.asarray(scorer(test_programs.TOKENS))[0].item().hex())
"""


def test_processes_that_start_at_once_share_a_folder(tmp_path):
    folders = [os.path.dirname(file) for file in (__file__, small_models.__file__)]
    command = [sys.executable, "-c", PROCESS, str(tmp_path), *folders]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=300) for process in processes]
    assert [error for _, error in ended] == ["", ""]
    assert ended[0] == ended[1] and ended[0][0].startswith("1 ")
    assert [file.suffix for file in (tmp_path / "t5rank").iterdir()] == [".program"]
