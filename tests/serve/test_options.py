"""Options of the command: by variables, sockets, TLS, the log."""

import argparse
import logging
import re
import shutil
import signal
import ssl
import subprocess
import sys

import httpx
import pytest
from servers import running, wait_for
from starlette.testclient import TestClient

from t5rank import cli
from t5rank.serve import server
from t5rank.serve.app import make_app
from t5rank.serve.settings import ServerSettings


@pytest.fixture
def served(monkeypatch):
    """The settings, host and port that the command would have served with."""
    found = []
    monkeypatch.setattr(server, "serve", lambda *given: found.append(given) or 0)
    ignored = signal.getsignal(signal.SIGHUP)
    level = logging.getLogger("t5rank").level
    yield lambda *options: (cli.main(["serve", *options]), *found.pop())
    signal.signal(signal.SIGHUP, ignored)
    logging.getLogger("t5rank").setLevel(level)


def test_every_option_has_a_variable_and_the_command_line_wins(served, monkeypatch):
    variables = {
        "MODEL": "a=x 'b=y z'",
        "HOST": "0.0.0.0",
        "PORT": "81",
        "MAX_WAIT": "2.5",
        "MAX_DOCUMENTS": "7",
        "CORS_ORIGIN": "http://a http://b",
        "LOG_TEXTS": "true",
        "LOG_PROBES": "yes",
        "ROOT_PATH": "/rank",
        "WATCH": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"T5RANK_SERVE_{name}", value)
    _, settings, host, port = served("--max_documents=8", "--no-log_probes", "--port=82")
    assert (settings.models, host, port) == ({"a": "x", "b": "y z"}, "0.0.0.0", 82)
    assert (settings.max_wait, settings.max_documents, settings.watch) == (2.5, 8, 0)
    assert settings.cors_origins == ("http://a", "http://b")
    assert (settings.log_texts, settings.log_probes, settings.root_path) == (True, False, "/rank")
    _, settings, *_ = served("--model=c=w")
    assert settings.models == {"c": "w"}


def options() -> list[str]:
    (commands,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return [a.dest for a in commands.choices["serve"]._actions if a.dest != "help"]


@pytest.mark.parametrize("option", options())
def test_what_a_variable_sets_is_what_the_option_sets(option, served, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("sesame")
    files = ("api_keys_file", "ssl_certfile", "ssl_keyfile")
    given = dict.fromkeys(files, str(file)) | {"log_level": "error", "root_path": "/a"}
    value = given.get(option, "3")
    switch = option in ("log_texts", "log_probes")
    others = ["--model=m", f"--ssl_certfile={file}"]
    others = [each for each in others if not each.startswith(f"--{option}=")]
    by_option = served(*others, f"--{option}" if switch else f"--{option}={value}")
    monkeypatch.setenv(f"T5RANK_SERVE_{option.upper()}", "true" if switch else value)
    assert served(*others) == by_option
    if option == "log_level":
        assert logging.getLogger("t5rank").level == logging.ERROR
    else:
        monkeypatch.delenv(f"T5RANK_SERVE_{option.upper()}")
        others = others if option != "model" else ["--model=n", *others]
        assert served(*others) != by_option  # it is no default


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "tcp://10.0.0.1:80", "Variable 'T5RANK_SERVE_PORT' has 'tcp://10.0.0.1:80'"),
        ("MAX_WAIT", "long", "expected a number"),
        ("LOG_TEXTS", "maybe", "expected true or false"),
        ("LOG_LEVEL", "loud", "expected one of"),
        ("MAX_WAIT", "0", "Setting 'max_wait' has 0.0"),
        ("MODEL", "'a", "quotes closed"),
    ],
)
def test_a_wrong_variable_is_named(name, value, message, monkeypatch, capsys):
    monkeypatch.setenv(f"T5RANK_SERVE_{name}", value)
    given = [] if name == "MODEL" else ["--model=m"]
    assert cli.main(["serve", *given]) == 1
    assert message in capsys.readouterr().err


def test_a_variable_of_no_option_is_said_to_be_none(served, monkeypatch, capsys):
    monkeypatch.setenv("T5RANK_SERVE_PROT", "81")
    served("--model=m")
    assert "'T5RANK_SERVE_PROT' is no option" in capsys.readouterr().err


@pytest.mark.parametrize("log_probes", [False, True])
def test_probes_are_counted_and_logged_only_where_asked(log_probes, caplog):
    client = TestClient(make_app(ServerSettings({"m": "nowhere"}, log_probes=log_probes)))
    probes = ("/health", "/ready", "/ping", "/.well-known/live", "/metrics")
    with caplog.at_level(logging.INFO, "t5rank.access"):
        for path in (*probes, "/v1/models"):
            client.get(path)
    assert len(caplog.records) == (6 if log_probes else 1)
    counted = set(
        re.findall(r't5rank_requests_total{.*path="([^"]*)"', client.get("/metrics").text)
    )
    assert {*probes, "/v1/models"} <= counted


def test_batches_and_requests_have_histograms(server):
    body = {"query": "q", "documents": ["a", "b", "c"]}
    httpx.post(f"{server.url}/rerank", json=body).raise_for_status()
    for name in ("batch_inputs", "batch_tokens", "request_documents", "request_tokens"):
        assert server.metric(f"t5rank_{name}_sum") >= 3, name


def test_an_idle_connection_is_kept_as_long_as_was_asked(model_dir):
    options = (f"--model={model_dir}", "--keep_alive=1")
    with running(*options, ready=False) as server, httpx.Client(base_url=server.url) as client:
        stream = client.get("/health").extensions["network_stream"]
        connection = stream.get_extra_info("socket")
        connection.settimeout(30)
        assert connection.recv(1) == b""  # closed by the server


def test_balancers_keep_connections_for_less_than_the_default():
    assert ServerSettings({"m": "m"}).keep_alive > 60


@pytest.fixture
def started(model_dir, tmp_path):
    """Starts a server whose log is a file, without waiting for its model."""
    processes = []

    def start(*options: str):
        with (tmp_path / "log").open("w") as log:
            command = [sys.executable, "-m", "t5rank", "serve", f"--model={model_dir}", *options]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_for(lambda: "Listening" in (tmp_path / "log").read_text())
        return (tmp_path / "log").read_text()

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_unix_socket_is_listened_on(started, tmp_path):
    log = started(f"--uds={tmp_path / 'socket'}")
    assert f"unix:{tmp_path / 'socket'}" in log
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "socket"))) as client:
        assert client.get("http://any/health").json() == {"status": "ok"}
        assert client.post("http://any/v1/rerank", json={}).status_code == 400


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_is_spoken(started, tmp_path):
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=me"
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run(["openssl", *made.split(), *names], cwd=tmp_path, check=True, timeout=60)
    files = [f"--ssl_{name}file={tmp_path / name}.pem" for name in ("cert", "key")]
    log = started("--port=0", *files)
    url = re.search(r"https://127.0.0.1:\d+", log)[0]
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    assert httpx.get(f"{url}/health", verify=context).json() == {"status": "ok"}


def test_what_is_no_certificate_is_refused_by_name(model_dir, tmp_path, capsys):
    (tmp_path / "cert").write_text("none")
    options = [f"--model={model_dir}", "--port=0", f"--ssl_certfile={tmp_path / 'cert'}"]
    assert cli.main(["serve", *options]) == 1
    assert f"Certificate '{tmp_path / 'cert'}' cannot be read" in capsys.readouterr().err


def test_a_socket_needs_a_folder(tmp_path):
    with pytest.raises(ValueError, match="'uds' has"):
        ServerSettings({"m": "m"}, uds=str(tmp_path / "nowhere" / "socket"))


def test_a_key_without_a_certificate_is_refused(tmp_path):
    (tmp_path / "key").write_text("")
    with pytest.raises(ValueError, match="'ssl_certfile' has no value"):
        ServerSettings({"m": "m"}, ssl_keyfile=str(tmp_path / "key"))


def test_a_model_is_needed_from_somewhere(monkeypatch, capsys):
    monkeypatch.delenv("T5RANK_SERVE_MODEL", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve"])
    assert ended.value.code == 2
    assert "T5RANK_SERVE_MODEL" in capsys.readouterr().err
