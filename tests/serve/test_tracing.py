"""Trace Context by its recommendation (W3C), and spans as a collector gets them."""

import gzip
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from starlette.testclient import TestClient

from t5rank.serve.app import make_app
from t5rank.serve.settings import ServerSettings
from t5rank.serve.spans import spans_of_environment
from t5rank.serve.tracing import parse

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{PARENT}-01"
BODY = {"query": "q", "documents": ["a secret"]}


def app():
    return TestClient(make_app(ServerSettings({"tiny": "nowhere"})))


@pytest.mark.parametrize(
    ("values", "is_valid"),
    [
        ([HEADER], True),
        ([f"cc-{TRACE}-{PARENT}-01-what-the-future-brings"], True),
        ([f"00-{TRACE}-{PARENT}-01-more"], False),
        ([f"ff-{TRACE}-{PARENT}-01"], False),
        ([f"00-{'0' * 32}-{PARENT}-01"], False),
        ([f"00-{TRACE}-{'0' * 16}-01"], False),
        ([HEADER.upper()], False),
        ([HEADER[:-1]], False),
        ([HEADER, HEADER], False),
        ([], False),
    ],
)
def test_which_headers_are_valid(values, is_valid):
    parent = parse(values)
    assert (parent is not None) == is_valid
    assert parent is None or parent == (TRACE, PARENT, "01")


def test_the_log_and_the_answer_have_the_trace(caplog):
    with caplog.at_level(logging.INFO, "t5rank.access"):
        response = app().post("/rerank", json=BODY, headers={"traceparent": HEADER})
    (line,) = [json.loads(record.message) for record in caplog.records]
    assert line["trace_id"] == TRACE and line["span_id"] != PARENT
    assert response.headers["traceresponse"] == f"00-{TRACE}-{line['span_id']}-01"


def test_a_request_without_a_trace_gets_none():
    assert "traceresponse" not in app().post("/rerank", json=BODY).headers


@pytest.fixture
def collector(monkeypatch):
    """Spans that were sent to a collector on this machine, which the environment names."""
    pytest.importorskip("opentelemetry.sdk.trace", reason="OpenTelemetry's SDK is not installed")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.extend(service.ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield received
    server.shutdown()


def test_a_collector_gets_a_span_of_the_callers_trace(collector):
    with app() as client:
        client.post("/v1/rerank", json=BODY, headers={"traceparent": HEADER})
        client.get("/health")
    (resource,) = collector
    (span,) = resource.scope_spans[0].spans  # none of the probe
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert names["service.name"] == "t5rank"
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "POST /v1/rerank",
        TRACE,
        PARENT,
    )
    values = {each.key: each.value for each in span.attributes}
    assert values["http.response.status_code"].int_value == 503
    assert values["t5rank.documents"].int_value == 1
    assert "secret" not in str(resource)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "pip install opentelemetry-exporter-otlp-proto-"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "'http/json' has no exporter"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "has 'zipkin'; expected 'otlp'"),
        ({"OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_what_cannot_be_exported_is_said_and_the_server_starts(
    variables, words, monkeypatch, caplog
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("importlib.import_module", missing)
    assert spans_of_environment() is None
    assert (words in caplog.text) if words else not caplog.records


def missing(name: str):
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)
