"""The cores of the process, not those of the machine."""

import os
import subprocess
import sys

import pytest

from t5rank.process.cores import core_count


def test_without_affinity_it_is_the_machines(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert core_count() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_kept_to_one_core_has_one(tmp_path):
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from t5rank.process.cores import core_count; print(core_count())"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=tmp_path, text=True) == "1\n"
