"""Folders that change while they are served."""

import logging
import os
import shutil

import numpy as np
import pytest
from servers import wait_for
from small_models import save_model
from starlette.testclient import TestClient

from t5rank.serve.app import make_app
from t5rank.serve.folder_state import folder_state
from t5rank.serve.settings import ServerSettings

BODY = {"query": "list of int", "documents": ["a list", "a dict"]}


@pytest.fixture
def folder(tmp_path, vocabulary_file):
    return save_model(tmp_path / "model", vocabulary_file)


def with_equal_times(folder):
    for file in [folder, *folder.rglob("*")]:
        os.utime(file, (1_700_000_000, 1_700_000_000))
    return folder


def turned_link(folder, other, link):
    link.symlink_to(folder)
    before = folder_state(str(link))
    link.unlink()
    link.symlink_to(other)
    return before, folder_state(str(link))


def written_over(folder, other, link):
    before = folder_state(str(folder))
    for file in other.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(other)
            target.write_bytes(file.read_bytes())
    with_equal_times(folder)
    return before, folder_state(str(folder))


def renamed(folder, other, link):
    before = folder_state(str(folder))
    folder.rename(link)
    other.rename(folder)
    return before, folder_state(str(folder))


@pytest.mark.parametrize("swap", [turned_link, written_over, renamed])
def test_a_swap_of_files_of_one_time_and_size_is_seen(swap, folder, tmp_path):
    with_equal_times(folder)
    other = shutil.copytree(folder, tmp_path / "other")
    before, after = swap(folder, with_equal_times(other), tmp_path / "link")
    assert before != after


def test_a_folder_that_stays_is_the_same(folder):
    before = folder_state(str(folder))
    config = folder / "config.json"
    config.write_bytes(config.read_bytes())  # the same again is no change
    assert folder_state(str(folder)) == before


def test_a_broken_folder_is_told_of_once_for_each_of_its_states(folder, caplog, monkeypatch):
    app = make_app(ServerSettings({"m": str(folder)}, watch=0.05))
    model = app.state.t5rank.models.by_name["m"]
    seen, look = [], model.change
    monkeypatch.setattr(model, "change", lambda: seen.append(look()) or seen[-1])
    with TestClient(app) as client, caplog.at_level(logging.ERROR):
        wait_for(lambda: client.get("/ready").status_code == 200)
        for i, config in enumerate(["{", "[]"], start=1):
            (folder / "config.json").write_text(config)
            wait_for(lambda i=i: model.reloads["failed"] == i)
            seen.clear()
            wait_for(lambda: len(seen) > 5)
        assert model.reloads == {"succeeded": 0, "failed": 2}
        said = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(said) == 2 and "Traceback" not in caplog.text
        assert client.post("/rerank", json=BODY).status_code == 200


def test_a_diverged_model_does_not_take_over(folder, vocabulary_file, caplog):
    app = make_app(ServerSettings({"m": str(folder)}))
    models = app.state.t5rank.models
    with TestClient(app) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        before = client.post("/rerank", json=BODY).json()["results"]
        save_model(folder, vocabulary_file, step=2, scale=np.nan)
        models.reload()
        wait_for(lambda: models.by_name["m"].reloads["failed"])
        assert "not finite" in caplog.text
        assert client.post("/rerank", json=BODY).json()["results"] == before


def test_a_diverged_model_is_no_start(tmp_path, vocabulary_file):
    folder = save_model(tmp_path / "model", vocabulary_file, scale=np.nan)
    errors = []
    with TestClient(make_app(ServerSettings({"m": str(folder)}), errors.append)) as client:
        wait_for(lambda: errors)
        assert client.get("/ready").status_code == 503
    assert "not finite" in str(errors[0])


def cut(served, new):
    os.truncate(served / "model.onnx.data", 0)


def copied_over(served, new):
    for file in new.iterdir():
        (served / file.name).write_bytes(file.read_bytes())


def deleted(served, new):
    shutil.rmtree(served)


@pytest.mark.parametrize("replace", [cut, copied_over, deleted])
def test_an_exported_model_outlives_its_files(replace, tmp_path, vocabulary_file):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from t5rank.inference.onnx_session import OnnxScorer
    from t5rank.onnx.export import export

    for seed, name in enumerate(["served", "new"]):
        export(save_model(tmp_path / f"{name}_jax", vocabulary_file, seed=seed), tmp_path / name)
    score = OnnxScorer(tmp_path / "served" / "model.onnx")
    tokens = np.arange(2, 34, dtype=np.int32).reshape(2, 16)
    before = score(tokens)
    replace(tmp_path / "served", tmp_path / "new")
    np.testing.assert_array_equal(score(tokens), before)
