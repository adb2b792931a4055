"""The wheel and the source distribution hold everything, and work from another folder."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIN = sorted(p.relative_to(ROOT / "gin") for p in (ROOT / "gin").rglob("*.gin"))


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: there is nothing to build from")
    source = tmp_path_factory.mktemp("source")
    # A clean copy, so that building leaves nothing in the checkout.
    archive = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, archive.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    output = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(output), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return output


def test_the_wheel_holds_every_gin_file_and_the_tasks(distributions):
    (wheel,) = distributions.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"t5rank/configs/{file.as_posix()}" for file in GIN} <= names
    assert {
        "t5rank/tasks/msmarco.py",
        "t5rank/tasks/registry.py",
        "t5rank/py.typed",
        "t5rank/report/page.html",
    } <= names
    assert not [n for n in names if n.startswith(("tests/", "gin/", "tasks/"))]


def test_the_source_distribution_holds_them_too(distributions):
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.split("/", 1)[-1] for name in file.getnames()}
    assert {f"gin/{file.as_posix()}" for file in GIN} <= names
    assert {"tasks/msmarco.py", "pyproject.toml", "LICENSE"} <= names


def test_the_installed_wheel_works_from_another_folder(distributions, tmp_path):
    (wheel,) = distributions.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), wheel],
        check=True,
    )
    code = (
        "import t5rank, t5rank.tasks.msmarco, importlib.resources as r\n"
        f"assert t5rank.__file__.startswith({str(site)!r}), t5rank.__file__\n"
        "files = [p.name for p in r.files('t5rank.configs.recipes').iterdir()]\n"
        "assert 'msmarco_passage_softmax.gin' in files\n"
        "from t5rank.train import config\n"
        "try: config.configured_trainer(['t5rank/configs/recipes/msmarco_qna_softmax.gin'])\n"
        "except ValueError as error: assert 'has no value; expected one' in str(error), error\n"
        "else: raise AssertionError('no error')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
