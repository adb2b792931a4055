"""What an import loads: the lower layers work without the packages of the higher ones."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TRAINING = {"tensorflow", "seqio"}
LAYERS = {
    ("t5rank", "t5rank.losses", "t5rank.metrics"): TRAINING | {"flax", "orbax"},
    ("t5rank.models.heads", "t5rank.models.network", "t5rank.models.ranking"): TRAINING
    | {"t5x", "sentencepiece", "clu"},
    ("t5rank.vocabulary", "t5rank.prompts"): TRAINING | {"jax", "flax"},
    ("t5rank.onnx.session",): TRAINING | {"jax", "flax", "onnx"},
    (
        "t5rank.cli.lists",
        "t5rank.lists.building",
        "t5rank.lists.passages",
        "t5rank.lists.qna",
    ): TRAINING | {"jax", "flax", "scipy"},
    (
        "t5rank.reranker",
        "t5rank.scoring",
        "t5rank.model_folder",
        "t5rank.evaluation",
        "t5rank.report",
        "t5rank.rerank",
        "t5rank.checkpoints",
        "t5rank.convert",
        "t5rank.serve.server",
    ): TRAINING | {"t5x", "torch", "transformers", "safetensors", "onnx", "onnxruntime"},
}


@pytest.mark.parametrize("modules", LAYERS, ids=lambda modules: modules[-1])
def test_import_loads_no_package_of_a_higher_layer(modules, tmp_path):
    program = f"import sys\nimport {', '.join(modules)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "t5rank" in loaded
    assert not loaded & LAYERS[modules]


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_file_imports_t5x():
    files = [*ROOT.glob("t5rank/**/*.py"), *ROOT.glob("tasks/**/*.py")]
    assert len(files) > 30
    found = {file.name for file in files for name in imported(file) if name.split(".")[0] == "t5x"}
    assert not found
