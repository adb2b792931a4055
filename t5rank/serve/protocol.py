"""uvicorn's HTTP/1.1 with limits on time and on work."""

import asyncio
import http

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from t5rank.serve.errors import Refusal

_LINGER = 1.0  # seconds
_BEFORE_ANSWER = (h11.IDLE, h11.SEND_RESPONSE)
_SOME = 4096  # bytes that are read at once, where all may be heads of chunks, which take long
_WASTE = 65_536  # bytes around chunks that a body may have, beside a quarter of its size
_BUFFER = memoryview(bytearray(65_536))  # of all connections: it is copied at once
_TOO_MANY_CHUNKS = "Body has chunks of very few bytes; expected larger ones."


def limited_protocol(header_timeout: float, write_timeout: float) -> type[H11Protocol]:
    """HTTP/1.1 with a time limit for headers to come and for answers to be read.

    The event loop reads little at once, so no connection keeps it from the others.
    """

    class Protocol(H11Protocol, asyncio.BufferedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline: asyncio.TimerHandle | None = None
            self._unread: asyncio.TimerHandle | None = None
            self._refused = False
            self._content, self._waste = 0, 0  # bytes of a chunked body, and around its chunks
            self._watch_headers()

        def get_buffer(self, sizehint: int) -> memoryview:
            is_plain = self.conn.their_state is h11.SEND_BODY and not self._is_chunked()
            return _BUFFER if is_plain or self._refused else _BUFFER[:_SOME]

        def buffer_updated(self, nbytes: int) -> None:
            if self._refused:
                return
            cycle, before = self.cycle, len(self.cycle.body) if self.cycle else 0
            self.data_received(bytes(_BUFFER[:nbytes]))
            self._watch_headers()
            if self.cycle is not cycle:
                self._content, self._waste = 0, 0
            elif self.conn.their_state is h11.SEND_BODY and self._is_chunked():
                self._count_chunks(nbytes, len(self.cycle.body) - before)

        def _is_chunked(self) -> bool:
            return any(name == b"transfer-encoding" for name, _ in self.headers)

        def _count_chunks(self, read: int, content: int) -> None:
            self._content += content
            self._waste += read - content
            if self._waste > _WASTE + self._content // 4:
                self._refuse(Refusal(400, "validation", _TOO_MANY_CHUNKS))

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch_headers()

        def shutdown(self) -> None:
            if self.cycle is None:  # its first request may be on its way
                self.loop.call_later(_LINGER, self.transport.close)
            elif not self._refused and not self.transport.is_closing():
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
            """Sets a deadline while headers are missing, and cancels it once they are there."""
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
            """Answers instead of the application, and reads for a moment what still comes."""
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
            self._refused = True
            self.flow.resume_reading()
            self._forget()
            self._unset_keepalive_if_required()
            if self.cycle is not None:  # the application hears that the client has left
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._deadline = self.loop.call_later(_LINGER, self.transport.close)

    return Protocol
