"""API keys: who may ask, and how much a minute."""

import dataclasses
import hashlib
import hmac
import logging
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from t5rank.serve.allowances import Allowance
from t5rank.serve.errors import Refusal
from t5rank.serve.settings import read_api_keys

HEADERS = ("authorization", "api-key", "x-api-key")
_REQUESTS, _TOKENS = "requests_per_minute", "tokens_per_minute"
_FIELDS = ("name", _REQUESTS, _TOKENS)
_UNKNOWN = Refusal(
    401,
    "unauthorized",
    "Authorization has no API key of this server; expected 'Bearer KEY'.",
    {"WWW-Authenticate": "Bearer"},
)
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
      digest: SHA-256 of the key; the key itself is not kept.
      name: for the log and the metrics; may be empty.
      requests: how many it may ask a minute.
      tokens: how many may be scored for it a minute.
    """

    digest: bytes
    name: str = ""
    requests: Allowance | None = None
    tokens: Allowance | None = None

    def admit(self) -> None:
        """Counts a request.

        Raises:
          Refusal: the key has no requests or tokens left in this minute.
        """
        if self.tokens is not None:
            self.tokens.take(0, "tokens")
        if self.requests is not None:
            self.requests.take(1, "requests")

    def spend(self, tokens: int) -> None:
        """Counts the tokens of a request, which are known when it is done."""
        if self.tokens is not None:
            self.tokens.spend(tokens)

    def continued(self, before: "Key | None") -> "Key":
        """This key, with what the one before has left of the limits that did not change."""
        if before is None:
            return self
        kept = {
            name: getattr(before, name)
            for name in ("requests", "tokens")
            if getattr(before, name) == getattr(self, name)
        }
        return dataclasses.replace(self, **kept)


NOBODY = Key(b"")


class ApiKeys:
    """The keys that are accepted. Every comparison takes as long as any other.

    Args:
      lines: keys as `parse_keys` takes them.
      file: has them instead, one a line; it may change.

    Raises:
      ValueError: as `read_api_keys` and `parse_keys`.
    """

    def __init__(self, lines: Sequence[str] = (), file: str | None = None):
        self.file = file
        self._lines = tuple(lines) if file is None else read_api_keys(file)
        self._keys = parse_keys(self._lines)
        self._complaint = ""

    @property
    def are_needed(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._keys)

    def read_anew(self) -> None:
        """Reads the file. Where it is missing or wrong, that is logged, and the keys stay.

        A key that is still there keeps what it has left of its minute.
        """
        try:
            lines = read_api_keys(self.file)
            keys = self._keys if lines == self._lines else parse_keys(lines)
        except ValueError as error:
            if str(error) != self._complaint:
                _LOG.error("%s The keys stay as they were.", error)
            self._complaint = str(error)
            return
        self._complaint = ""
        if lines != self._lines:
            before = {key.digest: key for key in self._keys}
            self._lines = lines
            self._keys = tuple(key.continued(before.get(key.digest)) for key in keys)
            _LOG.info("API keys have been read again; %d are accepted.", len(keys))

    def check(self, scope: Scope) -> Key:
        """The key of a request; any of `HEADERS` may have it, with or without `Bearer`.

        Raises:
          Refusal: keys are needed and none is there.
        """
        if not self._keys:
            return NOBODY
        headers = Headers(scope=scope)
        digests = [_digest(_bare(headers.get(name, ""))) for name in HEADERS]
        keys = [
            key
            for key in self._keys
            if any([hmac.compare_digest(digest, key.digest) for digest in digests])
        ]
        if not keys:
            raise _UNKNOWN
        return keys[0]


def parse_keys(lines: Sequence[str]) -> tuple[Key, ...]:
    """Keys, one a line: `KEY name=shop requests_per_minute=60 tokens_per_minute=100000`.

    Everything but the key may be left out.

    Raises:
      ValueError: a line has something else, or two have one key. No message holds a key.
    """
    keys = tuple(_parse(line.split(), number) for number, line in enumerate(lines, 1))
    if len({key.digest for key in keys}) < len(keys):
        raise ValueError("API keys have one key twice; expected keys that differ.")
    return keys


def _parse(words: list[str], number: int) -> Key:
    fields = dict(word.partition("=")[::2] for word in words[1:])
    if not all(word.isascii() for word in words) or not fields.keys() <= set(_FIELDS):
        raise ValueError(
            f"API key {number} has spaces or letters beyond ASCII, or is followed by something "
            f"else than {', '.join(_FIELDS)}; expected one a line, as in 'KEY name=shop "
            "requests_per_minute=60'."
        )
    requests, tokens = (
        Allowance(_number(fields[name], name, number)) if name in fields else None
        for name in (_REQUESTS, _TOKENS)
    )
    return Key(_digest(words[0]), fields.get("name", ""), requests, tokens)


def _number(text: str, name: str, number: int) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"API key {number} has '{name}' of '{text}'; expected at least 1.")
    return int(text)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _bare(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() in ("bearer", "apikey") else scheme
