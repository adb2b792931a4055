"""Spans for OpenTelemetry. They are exported by OTLP where its standard variables say so."""

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
_FIRST_SERVER_ERROR = 500
_LAST_EXPORT = 3.0  # seconds
_LOG = logging.getLogger(__name__)


def spans_of_environment() -> "Spans | None":
    """Exports spans, if the `OTEL_...` variables say so.

    A missing package or an unknown protocol is logged, and the server starts without traces.
    """
    asked = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "otlp" if asked else "none")
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporters == "none":
        return None
    variable = "OTEL_TRACES_EXPORTER" if asked is None else asked
    if exporters != "otlp":
        _LOG.warning("Variable '%s' has '%s'; expected 'otlp' or 'none'.", variable, exporters)
        return None
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), None)
    module = _EXPORTERS.get(protocol or "http/protobuf")
    if module is None:
        want = " or ".join(f"'{name}'" for name in _EXPORTERS)
        _LOG.warning("OTLP protocol '%s' has no exporter; expected %s.", protocol, want)
        return None
    try:
        return Spans(module)
    except ModuleNotFoundError as error:
        extra = "opentelemetry-exporter-otlp-proto-grpc" if protocol == "grpc" else "'t5rank[otel]'"
        _LOG.warning(
            "Variable '%s' asks for traces, but package '%s' is not installed: none are exported. "
            "Install it with: pip install %s",
            variable,
            error.name,
            extra,
        )
        return None


class Spans:
    """Makes spans, and exports them in the background.

    Args:
      exporter: the exporter's module.

    Raises:
      ModuleNotFoundError: OpenTelemetry's SDK or the exporter is not installed.
    """

    def __init__(self, exporter: str):
        trace = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        make_exporter = importlib.import_module(exporter).OTLPSpanExporter
        resource = resources.Resource.create(_service_name())
        self._provider = trace.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(export.BatchSpanProcessor(make_exporter()))
        self._tracer = self._provider.get_tracer("t5rank")
        self._api = importlib.import_module("opentelemetry.trace")
        self._extract = importlib.import_module("opentelemetry.propagate").extract

    @contextlib.contextmanager
    def span(
        self, name: str, headers: Mapping[str, str], entry: dict[str, Any]
    ) -> Iterator[tuple[str, str, str]]:
        """One request's span; gives its trace id, its own id and its flags.

        Args:
          name: of the span.
          headers: of the request; they may name a parent.
          entry: the request's fields in the log, which become attributes.
        """
        api = self._api
        kind = api.SpanKind.SERVER
        span = self._tracer.start_span(name, context=self._extract(headers), kind=kind)
        context = span.get_span_context()
        try:
            trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            yield trace_id, span_id, f"{context.trace_flags:02x}"
        except Exception as error:
            span.record_exception(error)
            entry["status"] = _FIRST_SERVER_ERROR
            raise
        finally:
            method, _, path = name.partition(" ")
            span.set_attributes({"http.request.method": method, "http.route": path})
            span.set_attributes(_attributes(entry))
            if entry.get("status", 0) >= _FIRST_SERVER_ERROR:
                span.set_status(api.StatusCode.ERROR)
            span.end()

    def close(self) -> None:
        """Exports the last spans, if that takes no more than a few seconds."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(_LAST_EXPORT)


def _service_name() -> dict[str, str]:
    named = "OTEL_SERVICE_NAME" in os.environ
    named = named or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if named else {"service.name": "t5rank"}


def _attributes(entry: dict[str, Any]) -> dict[str, Any]:
    """Numbers and names of a request's line in the log, never its texts."""
    found = {
        f"t5rank.{name}": value
        for name, value in entry.items()
        if isinstance(value, int | float | str) and name not in ("status", "trace_id", "span_id")
    }
    if "status" in entry:
        found["http.response.status_code"] = entry["status"]
    return found
