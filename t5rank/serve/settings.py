"""The settings of a server."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path

KEYS_VARIABLE = "T5RANK_API_KEYS"


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The settings of a server. Each is an option of `t5rank serve`.

    Attributes:
      models: folders by the names that requests give; the first is the default.
      api_keys: a request needs one of these (see `t5rank.serve.keys`), unless this is empty.
      api_keys_file: has the keys instead, one a line; it is read again when it changes.
      cors_origins: web pages that may call the server, `*` for all.
      max_body_bytes: of a request.
      max_documents: of a request.
      header_timeout: seconds in which a request's headers must have come.
      body_timeout: seconds in which its body must have come.
      max_wait: seconds of work that may wait; beyond it the answer is 429.
      batch_tokens: tokens scored at once; None: what suits the device.
      replicas: copies of each model, each on devices of its own; None: as many as fit.
      model_parallel: devices that share one copy.
      watch: seconds between looks for a new checkpoint; 0 looks on SIGHUP only.
      drain_delay: seconds between SIGTERM, when `/ready` turns 503, and no longer accepting.
      log_texts: whether queries and documents are logged.
      log_probes: whether requests for `/health`, `/ready`, `/metrics` and their like are logged.
      keep_alive: seconds that an idle connection is kept; more than the proxy in front keeps it.
      root_path: the prefix under which a proxy shows the server, as `/t5rank`.
      uds: a Unix socket to listen on, instead of a host and a port.
      ssl_certfile: a certificate, for TLS.
      ssl_keyfile: its key, where the certificate's file does not have it.

    Raises:
      ValueError: a value has no meaning.
    """

    models: Mapping[str, str]
    api_keys: tuple[str, ...] = ()
    api_keys_file: str | None = None
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
    log_probes: bool = False
    keep_alive: int = 75  # nginx and AWS's balancers keep theirs for 60
    root_path: str = ""
    uds: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("Setting 'models' has no model; expected at least one folder.")
        for name in ("max_body_bytes", "max_documents", "batch_tokens", "replicas"):
            self._check(name, at_least=1)
        self._check("model_parallel", at_least=1)
        for name in ("header_timeout", "body_timeout", "max_wait"):
            self._check(name, more_than=0)
        for name in ("watch", "drain_delay", "keep_alive"):
            self._check(name, at_least=0)
        self._check_root_path()
        self._check_files()

    def _check_root_path(self) -> None:
        if self.root_path and not re.fullmatch(r"(/[\w.~-]+)+", self.root_path, re.ASCII):
            raise ValueError(
                f"Setting 'root_path' has '{self.root_path}'; expected a path without a slash at "
                "its end, as '/t5rank'."
            )

    def _check_files(self) -> None:
        for name in ("ssl_certfile", "ssl_keyfile"):
            file = getattr(self, name)
            if file is not None and not Path(file).is_file():
                raise ValueError(f"Setting '{name}' has '{file}'; expected a file.")
        if self.uds is not None and not Path(self.uds).absolute().parent.is_dir():
            raise ValueError(f"Setting 'uds' has '{self.uds}'; expected a name in a folder.")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("Setting 'ssl_certfile' has no value; expected one with a key.")

    def _check(self, name: str, at_least: float | None = None, more_than: float = -1) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not value > more_than or (at_least is not None and value < at_least):
            want = f"more than {more_than}" if at_least is None else f"at least {at_least}"
            raise ValueError(f"Setting '{name}' has {value}; expected {want}.")


def named_models(arguments: list[str]) -> dict[str, str]:
    """`NAME=DIR`, or `DIR` for a model named like its folder.

    A folder may have = in its path, and a name may have /. If the whole argument is a folder, it is
    taken as one.

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
    """The lines of a file, or the environment variable's, which are separated by commas.

    Empty lines and those that begin with # are left out. `t5rank.serve.keys` parses the others.

    Raises:
      ValueError: the file or the variable has no key.
    """
    if file is None and KEYS_VARIABLE not in os.environ:
        return ()
    if file is None:
        lines = os.environ[KEYS_VARIABLE].split(",")
    else:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"API keys file '{file}' has no readable text: {error}.") from error
    stripped = [line.strip() for line in lines]
    found = tuple(line for line in stripped if line and not line.startswith("#"))
    if not found:
        place = f"file '{file}'" if file is not None else f"variable '{KEYS_VARIABLE}'"
        raise ValueError(f"API keys {place} has no key; expected at least one.")
    return found
