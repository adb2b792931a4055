"""`t5rank serve`."""

import argparse
import dataclasses
import signal

from t5rank.cli.options import add_command

_NUMBERS = {
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
}


def add_serve(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "serve",
        "serve rerank requests over HTTP",
        """
        Speaks the rerank APIs of Cohere, Jina, Voyage, TEI, NIM and vLLM on one port, and shows a
        page at / to try it. API keys are read from --api_keys_file, one a line, or from
        T5RANK_API_KEYS, separated by commas; without any, everyone may ask.

        t5rank serve --model models/softmax --port 8000
        curl localhost:8000/rerank -d '{"query": "what is a list", "documents": ["A list is ..."]}'

        SIGTERM answers what was accepted, then ends. SIGHUP loads the models anew.
        """,
    )
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="[NAME=]DIR",
        help="a model folder, under its own name or another; may be repeated",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address [%(default)s]")
    parser.add_argument("--port", type=int, default=8000, help="port; 0: any [%(default)s]")
    parser.add_argument("--api_keys_file", metavar="FILE", help="keys, one a line")
    parser.add_argument(
        "--cors_origin", action="append", default=[], metavar="URL", help="pages that may ask; or *"
    )
    for name, (kind, letter, text) in _NUMBERS.items():
        parser.add_argument(f"--{name}", type=kind, metavar=letter, help=text + _default(name))
    parser.add_argument(
        "--log_texts", action="store_true", help="log queries and documents, too [never]"
    )
    parser.set_defaults(command=_serve)


def _default(name: str) -> str:
    value = _defaults()[name]
    return "" if value is None else f" [{value:g}]"


def _defaults() -> dict:
    from t5rank.serve.settings import Settings

    return {field.name: field.default for field in dataclasses.fields(Settings)}


def _serve(arguments: argparse.Namespace) -> int:
    from t5rank.compilation_cache import keep_programs
    from t5rank.serve.settings import Settings, named_models, read_api_keys

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the models are there to be loaded anew
    given = {name: getattr(arguments, name) for name in _NUMBERS}
    settings = Settings(
        named_models(arguments.model),
        api_keys=read_api_keys(arguments.api_keys_file),
        cors_origins=tuple(arguments.cors_origin),
        log_texts=arguments.log_texts,
        **{name: value for name, value in given.items() if value is not None},
    )
    keep_programs()
    return _server()(settings, arguments.host, arguments.port)


def _server():
    try:
        from t5rank.serve.server import serve
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Package '{error.name}' has no installation here; expected one, for the server. "
            "Install it with: pip install 't5rank[serve]'"
        ) from error
    return serve
