"""The order of the rooms, and what an import loads.

Lower rooms work without the packages of the higher ones.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

from t5rank.process.packages import EXTRAS

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
    "search",
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
# The packages of all extras but the server's.
EXTRA = {
    package for extra in EXTRAS if extra not in ("gcs", "serve") for package in EXTRAS[extra][1]
}
LAYERS = {
    ("t5rank", "t5rank.cli"): EXTRA | {"jax", "flax", "numpy", "sentencepiece", "starlette"},
    ("t5rank.losses", "t5rank.metrics"): EXTRA | {"flax", "orbax"},
    ("t5rank.models.kinds", "t5rank.models.network", "t5rank.models.ranking"): EXTRA
    | {"t5x", "sentencepiece"},
    ("t5rank.text.vocabulary", "t5rank.text.prompts"): EXTRA | {"jax", "flax"},
    ("t5rank.inference.onnx_session",): EXTRA | {"jax", "flax"},
    (
        "t5rank.cli.lists",
        "t5rank.lists.building",
        "t5rank.lists.passages",
        "t5rank.lists.qna",
    ): EXTRA | {"jax", "flax", "scipy"},
    (
        "t5rank.inference.reranker",
        "t5rank.inference.scoring",
        "t5rank.model_folder",
        "t5rank.evaluation",
        "t5rank.report",
        "t5rank.inference.reranking",
        "t5rank.search.runs",
        "t5rank.search.faiss_index",
        "t5rank.search.qdrant",
        "t5rank.checkpoints",
        "t5rank.model_folder.convert",
        "t5rank.onnx.export",
        "t5rank.reproduce",
        "t5rank.serve.server",
    ): EXTRA | {"t5x", "torch", "transformers", "safetensors"},
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
        own = file.relative_to(ROOT / "t5rank").with_suffix("").parts[0]
        if own not in ("__init__", "configs"):
            yield file, own
    for file in ROOT.glob("tasks/*.py"):
        yield file, "tasks"


def test_rooms_import_none_above_them():
    files = dict(files_and_rooms())
    assert len(files) > 200 and {*files.values()} == {*ROOMS}
    against = {
        f"{file.relative_to(ROOT)} imports {other}"
        for file, own in files.items()
        for other in imported_rooms(file)
        if other is not None and ROOMS.index(other) > ROOMS.index(own)
    }
    assert not against


def test_rooms_are_folders_but_for_five_files():
    assert len([*ROOT.glob("t5rank/*.py")]) <= 5


def test_no_file_imports_t5x():
    files = [*ROOT.glob("t5rank/**/*.py"), *ROOT.glob("tasks/**/*.py")]
    assert len(files) > 30
    found = {file.name for file in files for name in imported(file) if name.split(".")[0] == "t5x"}
    assert not found
