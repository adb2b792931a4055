"""One training at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from t5rank.train.lock import locked

HOLD = """
import sys, time
from t5rank.train.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_another_process_holds_is_refused_and_the_process_named(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        host, since = os.uname().nodename, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
        message = f"already, process {other.pid} on '{host}', since {since}"
        with pytest.raises(RuntimeError, match=message), locked(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)  # the lock goes with the process
        other.wait(timeout=60)
    with locked(tmp_path):
        pass


def test_a_training_holds_its_folder(make_trainer, tmp_path):
    with locked(tmp_path / "model"), pytest.raises(RuntimeError, match="training in it already"):
        make_trainer(eval_period=0).train()
