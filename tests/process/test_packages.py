"""An error names the extra if one of its packages is missing."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from t5rank.process.packages import EXTRAS, MissingExtra, check_installed, require

ROOT = Path(__file__).parents[2]
# Imports and commands, and the extra that each needs.
NEEDS = {
    "import t5rank.train.layouts": "train",
    "import t5rank.tasks": "train",
    "import t5rank.t5x.plugin": "train",
    "from t5rank.quickstart import quickstart": "train",
    "from t5rank.data.msmarco import read_qna_tfds; read_qna_tfds('folder:train')": "train",
    "from t5rank.data.msmarco import read_qna_parquet; next(read_qna_parquet('x'))": "parquet",
    "from t5rank.report import write_report; write_report('folder')": "report",
    "from t5rank.inference.onnx_session import OnnxScorer; OnnxScorer('x')": "onnx",
    "from t5rank.onnx.graph import Graph; Graph('folder')": "onnx",
    "from t5rank.search.faiss_index import FaissEngine; FaissEngine(None, 'Flat')": "faiss",
    "from t5rank.search.qdrant import QdrantEngine; QdrantEngine.open('path:x/y')": "qdrant",
    "quickstart": "train",
    "train --gin_file=t5rank/configs/recipes/quickstart_softmax.gin": "train",
    "report folder": "report",
    "lists out --qna rows.parquet": "parquet",
    "lists out --dataset msmarco-passage/dev/small": "ir-datasets",
    "export --model model --output out --format onnx": "onnx",
    "convert gs://bucket/model converted --to t5rank": "gcs",
    "serve --model model": "serve",
}
PROGRAM = """
import contextlib, io, sys
for name in {packages}:
    sys.modules[name] = None
from t5rank import cli
for each in {needs}:
    said = io.StringIO()
    if "import " in each:
        try:
            exec(each)
        except ImportError as error:
            said.write(str(error))
    else:
        with contextlib.redirect_stderr(said):
            assert cli.main(each.split()) == 1, each
    print(said.getvalue().strip().replace(chr(10), " "))
"""


def test_a_missing_extra_is_named(tmp_path):
    packages = [package for _, packages in EXTRAS.values() for package in packages]
    program = PROGRAM.format(packages=[*packages, "tensorflow_datasets"], needs=[*NEEDS])
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(NEEDS)
    for (each, extra), sentence in zip(NEEDS.items(), said, strict=True):
        assert re.fullmatch(
            rf"(t5rank: )?Package '[\w.]+' .*; expected it for .*'t5rank\[{extra}\]'", sentence
        ), (each, sentence)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_what_is_looked_for(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["optional-dependencies"][extra]
    requirements += project["optional-dependencies"]["report"] if extra == "train" else []
    names = {re.match(r"[\w-]+", each)[0].replace("-", "_") for each in requirements}
    owners = importlib.metadata.packages_distributions()
    for package in EXTRAS[extra][1]:
        if package == "apache_beam":  # it has an environment of its own
            continue
        found = owners.get(package, [package.replace(".", "_")])
        assert names & {name.replace("-", "_") for name in found}, package


def test_what_is_installed_but_broken_is_said(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libstdc++.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(MissingExtra, match=r"'onnxruntime' cannot be imported \(libstdc"):
        require("onnx", "onnxruntime")


def test_what_is_there_is_fine():
    check_installed("onnx")
