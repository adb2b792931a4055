"""The files of examples/serving agree with the server they are for."""

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from t5rank import cli
from t5rank.serve.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "examples" / "serving"
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


def served_names():
    metrics = Metrics()
    metrics.watch(SimpleNamespace(by_name={}))
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", metrics.text().decode(), re.MULTILINE)
    return {name + suffix for name, kind in kinds for suffix in SUFFIXES.get(kind, ("",))}


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yml"])
def test_every_metric_is_served(file):
    text = (FOLDER / file).read_text()
    if file.endswith(".json"):
        text = "\n".join(t["expr"] for p in json.loads(text)["panels"] for t in p["targets"])
    named = set(re.findall(r"\b(?:t5rank|process)_\w+", text))
    assert named
    assert named <= served_names()


def docker_command():
    text = (FOLDER / "Dockerfile").read_text()
    entry, command = (
        json.loads(re.search(rf"^{word} (\[.*\])$", text, re.MULTILINE)[1])
        for word in ("ENTRYPOINT", "CMD")
    )
    return entry + command


def unit_command():
    text = (FOLDER / "t5rank.service").read_text().replace("\\\n", "")
    return shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("command", [docker_command, unit_command])
def test_the_command_line_is_one_of_t5rank(command):
    program, *arguments = command()
    assert Path(program).name == "t5rank"
    parsed = cli._parser().parse_args(arguments)
    assert parsed.model and parsed.port == 8000
