import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples/rax"
PROGRAM = """
import seqio
import qna_task
print(qna_task.NAME in seqio.TaskRegistry.names())
"""


def imported(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("T5RANK_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, **variables, "PYTHONPATH": str(EXAMPLE)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1] == "True", done.stderr


def test_importing_registers_the_task_if_it_can(tmp_path, vocabulary_file):
    settings = {"T5RANK_QNA_DIR": str(tmp_path), "T5RANK_VOCABULARY_FILE": vocabulary_file}
    assert imported(tmp_path, **settings)[0]
    registered, said = imported(tmp_path, T5RANK_QNA_DIR=str(tmp_path))
    assert not registered
    assert "the environment variable T5RANK_VOCABULARY_FILE is not set" in said
