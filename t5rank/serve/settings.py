"""What can be set of the server."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

KEYS_VARIABLE = "T5RANK_API_KEYS"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one server; every one is an option of `t5rank serve`.

    Attributes:
      models: folders by the names that requests give; the first is the default.
      api_keys: a request needs one of them; none is needed where this is empty.
      cors_origins: web pages that may call the server, `*` for all.
      max_body_bytes: of a request.
      max_documents: of a request.
      header_timeout: seconds in which a request's headers must have come.
      body_timeout: seconds in which its body must have come.
      max_wait: seconds of work that may wait; a request beyond it is told to come again.
      batch_tokens: tokens scored at once; by the device where None.
      replicas: copies of each model, each on devices of its own; as many as fit where None.
      model_parallel: devices that share one copy.
      watch: seconds between looks for a new checkpoint; 0 looks on SIGHUP only.
      drain_delay: seconds between SIGTERM, when `/ready` turns 503, and no longer accepting.
      log_texts: whether queries and documents are logged.

    Raises:
      ValueError: a value makes no sense.
    """

    models: Mapping[str, str]
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 8_388_608
    max_documents: int = 1000
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    max_wait: float = 30.0
    batch_tokens: int | None = None
    replicas: int | None = None
    model_parallel: int = 1
    watch: float = 0.0
    drain_delay: float = 1.0
    log_texts: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("Setting 'models' has no model; expected at least one folder.")
        for name in ("max_body_bytes", "max_documents", "batch_tokens", "replicas"):
            self._check(name, at_least=1)
        self._check("model_parallel", at_least=1)
        for name in ("header_timeout", "body_timeout", "max_wait"):
            self._check(name, more_than=0)
        for name in ("watch", "drain_delay"):
            self._check(name, at_least=0)

    def _check(self, name: str, at_least: float | None = None, more_than: float = -1) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not value > more_than or (at_least is not None and value < at_least):
            want = f"more than {more_than}" if at_least is None else f"at least {at_least}"
            raise ValueError(f"Setting '{name}' has {value}; expected {want}.")


def named_models(arguments: list[str]) -> dict[str, str]:
    """`NAME=DIR`, or `DIR` for a model named like its folder.

    A folder may have = in its path, and a name / within: what is a folder as a whole is taken so.

    >>> named_models(["models/small", "large=models/large_v2", "org/base=models/base"])
    {'small': 'models/small', 'large': 'models/large_v2', 'org/base': 'models/base'}

    Raises:
      ValueError: two models have one name.
    """
    models: dict[str, str] = {}
    for argument in arguments:
        name, _, folder = argument.partition("=")
        if not name or not folder or "://" in name or Path(argument).expanduser().is_dir():
            name, folder = Path(argument).absolute().name, argument
        if name in models:
            raise ValueError(
                f"Option '--model' has '{name}' twice; expected names that differ: NAME=DIR."
            )
        models[name] = folder
    return models


def read_api_keys(file: str | None) -> tuple[str, ...]:
    """Keys of a file, one a line, or else of the environment variable, separated by commas.

    Raises:
      ValueError: there is a file or a variable without a key, or a key has spaces within.
    """
    if file is None and KEYS_VARIABLE not in os.environ:
        return ()
    if file is None:
        keys = os.environ[KEYS_VARIABLE].split(",")
    else:
        try:
            keys = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"API keys file '{file}' has no readable text: {error}.") from error
    found = tuple(key.strip() for key in keys if key.strip())
    if any(len(key.split()) > 1 or not key.isascii() for key in found):
        raise ValueError("An API key has spaces or letters beyond ASCII; expected one a line.")
    if not found:
        where = f"file '{file}'" if file is not None else f"variable '{KEYS_VARIABLE}'"
        raise ValueError(f"API keys {where} has no key; expected at least one.")
    return found
