import pytest

from t5rank import cli
from t5rank.checkpoints import paths
from t5rank.process import remote
from t5rank.process.packages import MissingExtra


@pytest.fixture
def without_s3fs(monkeypatch):
    monkeypatch.setattr(remote, "is_installed", lambda package: package != "s3fs")


def test_a_path_of_s3_names_the_package_that_is_missing(without_s3fs):
    with pytest.raises(MissingExtra, match=r"Package 's3fs' is not installed.* pip install s3fs"):
        paths.path("s3://bucket/model")


@pytest.mark.parametrize("files", [["s3://b/m", "out"], ["model", "s3://b/out"]])
def test_convert_says_it_without_a_traceback(files, without_s3fs, capsys):
    assert cli.main(["convert", *files, "--to", "t5x"]) == 1
    assert capsys.readouterr().err.startswith("t5rank: Package 's3fs' is not installed")


def test_another_scheme_is_an_error():
    with pytest.raises(ValueError, match=r"begins with 'http://'; expected a local path, gs://"):
        paths.path("http://host/model")


@pytest.mark.parametrize(
    "command",
    [
        "lists out --qna s3://b/x.json.gz",
        "evaluate --qrels s3://b/qrels --run run",
        "rerank --model m --lists lists --output s3://b/run",
    ],
)
def test_data_are_local(command, capsys):
    assert cli.main(command.split()) == 1
    assert "is remote; expected a file or folder of this machine" in capsys.readouterr().err
