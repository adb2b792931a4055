"""Refusals: answers without scores, and their messages."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_LETTERS = 1000  # of a message


class Refusal(Exception):
    """An answer other than 200.

    Attributes:
      status: of HTTP. An error of the request is never 5xx: clients would send it again.
      kind: one or two words for programs.
      message: for people. A long one repeats what a client sent, and is cut.
      headers: of the answer.
    """

    def __init__(
        self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ):
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message if len(message) <= _LETTERS else f"{message[:_LETTERS]}..."
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body = msgspec.json.encode(self.body())
        return Response(body, self.status, self.headers, media_type="application/json")

    def body(self) -> dict[str, Any]:
        """The keys in which Cohere's, Jina's, Voyage's and TEI's clients look for the message."""
        return {
            "error": self.message,
            "error_type": self.kind,
            "message": self.message,
            "detail": self.message,
        }


def invalid(message: str) -> Refusal:
    """The refusal of a wrong request."""
    return Refusal(400, "validation", message)


def not_ready(name: str) -> Refusal:
    """The refusal while a model is being loaded or compiled."""
    message = f"Model '{name}' is still being loaded; expected a loaded one. Try again in a second."
    return Refusal(503, "unready", message, {"Retry-After": "1"})


def overloaded(seconds: float) -> Refusal:
    """The refusal while too much work waits."""
    message = f"Server has work for {seconds:.0f} s waiting; expected less. Try again later."
    return Refusal(429, "overloaded", message, {"Retry-After": str(max(1, round(seconds)))})
