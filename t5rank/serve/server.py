"""Runs the application with uvicorn: signals, timeouts, the log."""

import asyncio
import contextlib
import http
import logging
import signal
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from t5rank import model_folder
from t5rank.serve.app import State, make_app
from t5rank.serve.errors import Refusal
from t5rank.serve.settings import Settings
from t5rank.serve.tls import check_certificate

_LINGER = 1.0  # seconds
_BEFORE_ANSWER = (h11.IDLE, h11.SEND_RESPONSE)
_LOG = logging.getLogger(__name__)


def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8000) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    SIGTERM turns `/ready` to 503, lets what was accepted end, and returns 0. SIGHUP loads the
    models anew.

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
        model_folder.load_config(folder)  # what is no model folder is told before anything starts
    app = make_app(settings, failed)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_protocol(settings.header_timeout, settings.body_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive,
        uds=settings.uds,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        backlog=2048,
    )
    server = _Server(config, app.state.t5rank)
    server.run()
    if errors:
        raise errors[0]
    return 0


class _Server(uvicorn.Server):
    """A server that drains on SIGTERM and exits with 0."""

    def __init__(self, config: uvicorn.Config, state: State):
        super().__init__(config)
        self._state = state

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Sets the handlers; uvicorn's own would end the process by the signal once it is done."""
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
        _LOG.info("Draining: what was accepted will be answered.")

    def _log_started_message(self, listeners: Any) -> None:
        address = listeners[0].getsockname()
        scheme = "https" if self.config.is_ssl else "http"
        if isinstance(address, str):
            _LOG.info("Listening on %s+unix:%s", scheme, address)
        else:
            _LOG.info("Listening on %s://%s:%d", scheme, *address[:2])


def _protocol(header_timeout: float, write_timeout: float) -> type[H11Protocol]:
    """HTTP/1.1 in which headers must come, and answers be read, within a time."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline: asyncio.TimerHandle | None = None
            self._unread: asyncio.TimerHandle | None = None
            self._refused = False
            self._watch_headers()

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            self._watch_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
                self._linger()  # answered before its body came
            self._watch_headers()

        def shutdown(self) -> None:
            if self.cycle is None:  # its first request may be on its way
                self.loop.call_later(_LINGER, self._shutdown)
            else:
                self._shutdown()

        def _shutdown(self) -> None:
            if not self.transport.is_closing():
                super().shutdown()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(write_timeout, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._unread is not None:
                self._unread.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget()
            if self._unread is not None:
                self._unread.cancel()

        def _watch_headers(self) -> None:
            """Sets the deadline while a request has begun and its headers are not there."""
            if self._refused:
                return
            begun = self.cycle is None or self.conn.trailing_data[0]
            if self.conn.their_state is not h11.IDLE or not begun:
                self._forget()
            elif self._deadline is None and not self.transport.is_closing():
                self._deadline = self.loop.call_later(header_timeout, self._too_slow)

        def _forget(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            message = f"Headers have not come within {header_timeout:g} s; expected all of them."
            self._refuse(Refusal(408, "timeout", message))

        def send_400_response(self, msg: str) -> None:
            self._refuse(Refusal(400, "validation", f"Request has no valid HTTP: {msg}"))

        def _refuse(self, refusal: Refusal) -> None:
            if self.transport.is_closing() or self.conn.our_state not in _BEFORE_ANSWER:
                self.transport.close()
                return
            answer = refusal.response()
            headers = [*answer.raw_headers, (b"connection", b"close")]
            phrase = http.HTTPStatus(answer.status_code).phrase.encode()
            for event in (
                h11.Response(status_code=answer.status_code, headers=headers, reason=phrase),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if self.transport.can_write_eof():  # TLS cannot
                self.transport.write_eof()
            self._linger()

        def _linger(self) -> None:
            """Reads what still comes for a moment: closing at once would take the answer away."""
            self._refused = True
            self._forget()
            self._unset_keepalive_if_required()
            self._deadline = self.loop.call_later(_LINGER, self.transport.close)

    return Protocol
