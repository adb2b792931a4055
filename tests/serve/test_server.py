"""The server as its operator sees it: options, signals, devices."""

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from servers import running, wait_for
from small_models import save_model

from t5rank import Reranker, cli
from t5rank.serve.settings import ServerSettings, named_models, read_api_keys

BODY = {"query": "list of int", "documents": [f"a list {'of int ' * i}" for i in range(50)]}


def test_sigterm_under_load_loses_nothing_that_was_accepted(model_dir):
    with running(f"--model={model_dir}", "--drain_delay=0.3") as server:

        def ask(_) -> int | None:
            """The status, or None where the server no longer accepted."""
            try:
                return client.post("/rerank", json=BODY).status_code
            except httpx.TransportError:
                return None

        limits = httpx.Limits(max_keepalive_connections=0)
        with (
            httpx.Client(base_url=server.url, timeout=60, limits=limits) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            asked = [pool.submit(ask, i) for i in range(400)]
            wait_for(lambda: sum(future.done() for future in asked) > 20)
            server.process.send_signal(signal.SIGTERM)
            statuses = [future.result() for future in asked]
        assert server.process.wait(timeout=120) == 0
        assert set(statuses) == {200, None}
        answered = [line for line in server.log.splitlines() if '"path": "/rerank"' in line]
        assert len(answered) == statuses.count(200) > 20
        assert "Traceback" not in server.log


def test_replicas_over_several_devices_score_the_same_and_are_loaded_anew(
    tmp_path, vocabulary_file
):
    folder = save_model(tmp_path / "model", vocabulary_file)
    expected = Reranker.from_pretrained(folder).score(BODY["query"], BODY["documents"])
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    options = ("--replicas=2", "--model_parallel=2", "--batch_tokens=256")
    with running(f"--model={folder}", *options, environment={"XLA_FLAGS": flags}) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:

            def scores() -> list[float]:
                answer = client.post("/rerank", json=BODY | {"raw_scores": True})
                ranked = {x["index"]: x["relevance_score"] for x in answer.json()["results"]}
                return [ranked[i] for i in range(len(ranked))]

            with ThreadPoolExecutor(4) as pool:
                for found in pool.map(lambda _: scores(), range(20)):
                    np.testing.assert_allclose(found, expected, atol=1e-5)
            save_model(folder, vocabulary_file, seed=5, step=2)
            server.process.send_signal(signal.SIGHUP)
            while server.metric("t5rank_reloads_total", result="succeeded") == 0:
                assert len(scores()) == 50  # nothing fails meanwhile
            assert not np.allclose(scores(), expected, atol=1e-4)
            assert server.metric("t5rank_compiles_after_ready_total") == 0
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model=nowhere"], "'nowhere' does not exist; expected a folder"),
        (["--model={model}", "--replicas=3"], "'replicas' and 'model_parallel' have 3 and 1"),
        (["--model={model}", "--max_wait=0"], "Setting 'max_wait' has 0.0; expected more than 0"),
        (["--model={model}", "--model={model}"], "twice"),
        (["--model={model}", "--api_keys_file=nowhere"], "API keys file 'nowhere'"),
    ],
)
def test_what_cannot_be_served_ends_with_an_error(options, message, model_dir, capsys):
    options = [option.format(model=model_dir) for option in options]
    assert cli.main(["serve", "--port=0", *options]) == 1
    assert message in capsys.readouterr().err


def test_models_have_the_names_of_their_folders_or_others(tmp_path):
    folder = tmp_path / "runs" / "lr=1"
    folder.mkdir(parents=True)
    arguments = ["models/a/", "b=models/a", f"{folder}", "org/name=models/a", f"org/lr={folder}"]
    assert named_models([*arguments, "gs://bucket/lr=2", "=c", "d="]) == {
        "a": "models/a/",
        "b": "models/a",
        "lr=1": str(folder),
        "org/name": "models/a",
        "org/lr": str(folder),
        "lr=2": "gs://bucket/lr=2",
        "=c": "=c",
        "d=": "d=",
    }


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    (tmp_path / "keys").write_text("one\n\n two \n")
    monkeypatch.setenv("T5RANK_API_KEYS", "three, four")
    assert read_api_keys(str(tmp_path / "keys")) == ("one", "two")
    assert read_api_keys(None) == ("three", "four")
    monkeypatch.setenv("T5RANK_API_KEYS", ",")
    with pytest.raises(ValueError, match="variable 'T5RANK_API_KEYS' has no key"):
        read_api_keys(None)
    monkeypatch.delenv("T5RANK_API_KEYS")
    assert read_api_keys(None) == ()
    (tmp_path / "keys").write_text("\n")
    with pytest.raises(ValueError, match="has no key"):
        read_api_keys(str(tmp_path / "keys"))


@pytest.mark.parametrize("name", ["max_documents", "max_body_bytes", "replicas", "model_parallel"])
def test_settings_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' has 0; expected at least 1"):
        ServerSettings({"m": "m"}, **{name: 0})


STALLED = {
    "nothing sent": b"",
    "half the headers": b"POST /rerank HTTP/1.1\r\nHost:",
    "half the body": b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    "a connection kept": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "answers not read": b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
}
SHORT_DRAIN = """
from t5rank.cli import main
from t5rank.serve import server
server._DRAIN, server._LEAST_DRAIN = 3, 1
raise SystemExit(main())
"""


def test_stalled_clients_do_not_hold_up_the_end(model_dir):
    options = (f"--model={model_dir}", "--body_timeout=600", "--header_timeout=600")
    with running(*options, ready=False, command=("-c", SHORT_DRAIN)) as server:
        wait_for(lambda: httpx.get(f"{server.url}/ready").status_code == 200, server)
        clients = {name: socket.create_connection(("127.0.0.1", server.port)) for name in STALLED}
        for name, client in clients.items():
            client.sendall(STALLED[name])
        wait_for(lambda: "/docs" in server.log)
        assert server.stop() == 0
        assert b" 503 " in clients["half the body"].recv(1000)
        assert "Traceback" not in server.log


def test_a_server_that_drains_says_so_and_closes_its_connections(model_dir):
    with running(f"--model={model_dir}", "--drain_delay=60", ready=False) as server:
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Draining" in server.log)
        draining = httpx.get(f"{server.url}/ready", timeout=60)
        assert (draining.status_code, draining.json()["status"]) == (503, "draining")
        assert draining.headers["connection"] == "close"


def test_sigterm_while_it_compiles_ends_it(model_dir):
    with running(f"--model={model_dir}", ready=False) as server:
        assert server.stop() == 0
        assert "Traceback" not in server.log
