"""The order of the rooms, and what an import loads.

Lower rooms work without the packages of the higher ones.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = (  # from the lowest: a room imports itself and those before it
    "types",
    "checks",
    "process",
    "formats",
    "ops",
    "metrics",
    "losses",
    "data",
    "text",
    "models",
    "runs",
    "checkpoints",
    "model_folder",
    "inference",
    "evaluation",
    "onnx",
    "lists",
    "tasks",
    "train",
    "t5x",
    "report",
    "quickstart",
    "reproduce",
    "serve",
    "cli",
    "__main__",
)
TRAINING = {"tensorflow", "seqio"}
LAYERS = {
    ("t5rank", "t5rank.losses", "t5rank.metrics"): TRAINING | {"flax", "orbax"},
    ("t5rank.models.heads", "t5rank.models.network", "t5rank.models.ranking"): TRAINING
    | {"t5x", "sentencepiece", "clu"},
    ("t5rank.text.vocabulary", "t5rank.text.prompts"): TRAINING | {"jax", "flax"},
    ("t5rank.inference.onnx_session",): TRAINING | {"jax", "flax", "onnx"},
    (
        "t5rank.cli.lists",
        "t5rank.lists.building",
        "t5rank.lists.passages",
        "t5rank.lists.qna",
    ): TRAINING | {"jax", "flax", "scipy"},
    (
        "t5rank.inference.reranker",
        "t5rank.inference.scoring",
        "t5rank.model_folder",
        "t5rank.evaluation",
        "t5rank.report",
        "t5rank.inference.reranking",
        "t5rank.checkpoints",
        "t5rank.model_folder.convert",
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


def room(module):
    """The room of `t5rank.room.file`; the package itself, which holds the version, has none."""
    names = module.split(".")
    return names[1] if names[0] == "t5rank" and len(names) > 1 else None


def imported_rooms(file):
    """The rooms that a file imports anywhere in it, types and late imports included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (room(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "t5rank":
            yield from (alias.name for alias in node.names if alias.name in ROOMS)
        elif isinstance(node, ast.ImportFrom):
            yield room(node.module or "")


def files_and_rooms():
    for file in ROOT.glob("t5rank/**/*.py"):
        yield file, file.relative_to(ROOT / "t5rank").with_suffix("").parts[0]
    for file in ROOT.glob("tasks/*.py"):
        yield file, "tasks"


def test_rooms_import_none_above_them():
    files = {file: own for file, own in files_and_rooms() if own not in ("__init__", "configs")}
    assert len(files) > 200 and set(files.values()) == {*ROOMS, "tasks"}
    against = {
        f"{file.relative_to(ROOT)} imports {other}"
        for file, own in files.items()
        for other in imported_rooms(file)
        if other is not None and ROOMS.index(other) > ROOMS.index(own)
    }
    assert against == {"t5rank/models/ranking.py imports tasks"}


def test_rooms_are_folders_but_for_five_files():
    assert len([*ROOT.glob("t5rank/*.py")]) <= 5


def test_no_file_imports_t5x():
    files = [*ROOT.glob("t5rank/**/*.py"), *ROOT.glob("tasks/**/*.py")]
    assert len(files) > 30
    found = {file.name for file in files for name in imported(file) if name.split(".")[0] == "t5x"}
    assert not found
