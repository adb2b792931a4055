"""`t5rank serve`."""

import argparse
import dataclasses
import logging
import signal
from typing import Any

from t5rank.cli import environment
from t5rank.cli.options import add_command
from t5rank.process.collector import resting_collector
from t5rank.process.packages import check_installed

_PREFIX = "T5RANK_SERVE_"
_VALUES = {
    "max_body_bytes": (int, "N", "bytes of a request"),
    "max_documents": (int, "N", "documents of a request"),
    "header_timeout": (float, "S", "seconds for a request's headers to come"),
    "body_timeout": (float, "S", "seconds for its body to come"),
    "max_wait": (float, "S", "seconds of work that may wait; beyond it the answer is 429"),
    "batch_tokens": (int, "N", "tokens scored at once [by the device]"),
    "replicas": (int, "N", "copies of each model, each on other devices [all devices]"),
    "model_parallel": (int, "N", "devices that share one copy"),
    "watch": (float, "S", "look for a new checkpoint every S seconds; 0: on SIGHUP only"),
    "drain_delay": (float, "S", "seconds from SIGTERM to accepting nothing more"),
    "keep_alive": (int, "S", "seconds that an idle connection is kept"),
    "root_path": (str, "PATH", "the prefix under which a proxy shows the server, as /t5rank"),
    "uds": (str, "FILE", "listen on a Unix socket instead of a port"),
    "ssl_certfile": (str, "FILE", "a certificate: speak TLS"),
    "ssl_keyfile": (str, "FILE", "its key"),
    "api_keys_file": (str, "FILE", "keys, one a line; read anew when it changes"),
}
_SWITCHES = {
    "log_texts": "log queries and documents, too [never]",
    "log_probes": "log requests for /health, /ready, /metrics and their like, too [not]",
}
_LEVELS = ("debug", "info", "warning", "error")


def add_serve(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "serve",
        "serve rerankers and dual encoders over HTTP",
        f"""
        Speaks the rerank APIs of Cohere, Jina, Voyage, TEI, NIM, mixedbread, Pinecone, Weaviate and
        vLLM on one port, and shows a page at / to try it. A dual encoder gives vectors by the APIs
        of TEI, OpenAI and Cohere, and reranks by their similarity.

        t5rank serve --model models/softmax --port 8000
        curl localhost:8000/rerank -d '{{"query": "a list", "documents": ["A list is ..."]}}'

        API keys are read from --api_keys_file, one a line, or from T5RANK_API_KEYS, separated by
        commas; without any, everyone may ask. What a key may ask for can stand behind it:
        KEY name=shop requests_per_minute=600 tokens_per_minute=500000

        A variable can set every option as well: {_PREFIX}MAX_WAIT=10 is --max_wait=10.
        Several models or origins have spaces between them, a switch is true or false. What the
        command line says wins.

        SIGTERM answers what was accepted, then ends. SIGHUP loads the models anew. Traces are
        exported where OTEL_EXPORTER_OTLP_ENDPOINT is set and 't5rank[otel]' is installed.
        """,
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]DIR",
        help="a model folder, under its own name or another; may be repeated",
    )
    parser.add_argument("--host", help="address [127.0.0.1]")
    parser.add_argument("--port", type=int, help="port; 0: any [8000]")
    parser.add_argument(
        "--cors_origin", action="append", metavar="URL", help="pages that may ask; or *"
    )
    for name, (kind, letter, text) in _VALUES.items():
        parser.add_argument(f"--{name}", type=kind, metavar=letter, help=text + _default(name))
    for name, text in _SWITCHES.items():
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)
    parser.add_argument("--log_level", choices=_LEVELS, help="of the log [info]")
    parser.set_defaults(command=lambda arguments: _serve(parser, arguments))


def _default(name: str) -> str:
    value = _defaults()[name]
    if isinstance(value, int):
        return f" [{value:,}]"
    return f" [{value:g}]" if isinstance(value, float) else ""


def _defaults() -> dict[str, Any]:
    from t5rank.serve.settings import ServerSettings

    return {field.name: field.default for field in dataclasses.fields(ServerSettings)}


def _serve(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    check_installed("serve")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the models are there to be loaded anew
    unknown = environment.fill(parser, arguments, _PREFIX)
    if arguments.model is None:
        parser.error(f"the following arguments are required: --model (or {_PREFIX}MODEL)")
    if arguments.log_level is not None:
        logging.getLogger("t5rank").setLevel(arguments.log_level.upper())
    for name in unknown:
        logging.getLogger(__name__).warning("Variable '%s' is no option: it is not read.", name)
    settings = _settings(arguments)
    with resting_collector():  # takes seconds, in which SIGHUP is ignored
        from t5rank.inference.compilation_cache import keep_programs
        from t5rank.serve.server import serve

    keep_programs()
    host = "127.0.0.1" if arguments.host is None else arguments.host
    return serve(settings, host, 8000 if arguments.port is None else arguments.port)


def _settings(arguments: argparse.Namespace):
    from t5rank.serve.settings import ServerSettings, named_models, read_api_keys

    given = {name: getattr(arguments, name) for name in (*_VALUES, *_SWITCHES)}
    return ServerSettings(
        named_models(arguments.model),
        api_keys=() if arguments.api_keys_file is not None else read_api_keys(None),
        cors_origins=tuple(arguments.cors_origin or ()),
        **{name: value for name, value in given.items() if value is not None},
    )
