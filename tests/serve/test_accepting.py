"""Bursts of connections."""

import signal
import socket

import httpx
from servers import running

from t5rank.serve import server as server_module
from t5rank.serve.settings import ServerSettings

MOST_AT_ONCE = 64


def test_the_event_loop_accepts_few_connections_at_once(model_dir, monkeypatch):
    class Server:
        def __init__(self, config, state):
            backlogs.append(config.backlog)  # asyncio accepts so many before it does anything else

        def run(self):
            pass

    backlogs: list[int] = []
    monkeypatch.setattr(server_module, "_Server", Server)
    assert server_module.serve(ServerSettings({"m": str(model_dir)})) == 0
    assert backlogs and backlogs[0] <= MOST_AT_ONCE


def test_the_kernel_keeps_many_connections_that_wait_to_be_accepted(model_dir):
    with running(f"--model={model_dir}", ready=False) as server:
        server.process.send_signal(signal.SIGSTOP)
        clients = []
        try:
            for _ in range(4 * MOST_AT_ONCE):
                clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
        for client in clients:
            client.close()
