"""Runs the application with uvicorn, its signals and its timeouts."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from t5rank import model_folder
from t5rank.serve.app import State, make_app
from t5rank.serve.connections import Connections
from t5rank.serve.protocol import limited_protocol
from t5rank.serve.settings import ServerSettings
from t5rank.serve.tls import check_certificate

_DRAIN = 18.0  # seconds from SIGTERM to the last answer; Kubernetes kills after 30
_LEAST_DRAIN = 5.0  # seconds that are left of it after a long `drain_delay`
_ACCEPTED = 32  # connections at once: meanwhile the event loop does nothing else
_WAITING = 2048  # connections that the kernel keeps until they are accepted
_LOG = logging.getLogger(__name__)


def serve(settings: ServerSettings, host: str = "127.0.0.1", port: int = 8000) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    At SIGTERM `/ready` answers 503, the accepted requests are answered, for at most 18 s, and the
    status is 0. SIGHUP loads the models again.

    Raises:
      ValueError: a model cannot be loaded.
    """
    server: _Server | None = None
    errors: list[Exception] = []

    def failed(error: Exception) -> None:
        errors.append(error)
        if server is not None:
            server.should_exit = True

    check_certificate(settings)
    for folder in settings.models.values():
        _check(folder)
    app = make_app(settings, failed)
    state = app.state.t5rank
    config = uvicorn.Config(
        Connections(app, is_ending=lambda: state.draining),
        host=host,
        port=port,
        http=limited_protocol(settings.header_timeout, settings.body_timeout),
        loop="asyncio",  # `limited_protocol` can limit the reads of this one
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive,
        uds=settings.uds,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        backlog=_ACCEPTED,  # asyncio accepts so many at once
        timeout_graceful_shutdown=int(max(_LEAST_DRAIN, _DRAIN - settings.drain_delay)),
    )
    server = _Server(config, state)
    server.run()
    if errors:
        raise errors[0]
    return 0


def _check(folder: str) -> None:
    """Refuses a wrong folder before anything starts; the vocabulary is read later, and once.

    Raises:
      ValueError: it is no model folder, or has no checkpoint.
    """
    if model_folder.is_model_folder(folder):
        model_folder.weights_path(folder)
    else:
        model_folder.open_folder(folder)  # its error says what the folder is


class _Server(uvicorn.Server):
    """A server that drains on SIGTERM and exits with 0."""

    def __init__(self, config: uvicorn.Config, state: State):
        super().__init__(config)
        self._state = state

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Sets the handlers. uvicorn's own would end the process by the signal in the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        loop.add_signal_handler(signal.SIGHUP, self._state.models.reload)
        yield

    def _drain(self) -> None:
        if self._state.draining:
            self.force_exit = True  # asked twice
        self._state.draining = True
        loop = asyncio.get_running_loop()
        loop.call_later(self._state.settings.drain_delay, setattr, self, "should_exit", True)
        _LOG.info("Draining: the accepted requests will be answered.")

    def _log_started_message(self, listeners: Any) -> None:
        for listener in listeners:
            _keep_waiting(listener.fileno(), _WAITING)
        address = listeners[0].getsockname()
        scheme = "https" if self.config.is_ssl else "http"
        if isinstance(address, str):
            _LOG.info("Listening on %s+unix:%s", scheme, address)
        else:
            _LOG.info("Listening on %s://%s:%d", scheme, *address[:2])


def _keep_waiting(listener: int, connections: int) -> None:
    """Lets the kernel keep so many connections for a socket that listens already."""
    with socket.socket(fileno=os.dup(listener)) as same:
        same.listen(connections)
