"""The metrics for Prometheus."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from t5rank.serve.engine import Computed
from t5rank.serve.models import Models

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_TOKENS = tuple(2**i for i in range(5, 21))


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "t5rank_requests_total",
            "Answered requests.",
            ["path", "dialect", "model", "status"],
            registry=self.registry,
        )
        self.seconds = self._histogram(
            "request_seconds", "From a rerank request's headers to its answer.", _SECONDS
        )
        self.tokenize_seconds = self._histogram(
            "tokenize_seconds", "From a parsed request to its tokens.", _SECONDS
        )
        self.queue_seconds = self._histogram(
            "queue_seconds", "From the queue to the first batch.", _SECONDS
        )
        self.batch_seconds = self._histogram("batch_seconds", "One batch.", _SECONDS)
        self.batch_inputs = self._histogram("batch_inputs", "Inputs of a batch.", _COUNTS)
        self.batch_tokens = self._histogram(
            "batch_tokens", "Tokens of a batch, with padding.", _TOKENS
        )
        self.request_documents = self._histogram(
            "request_documents", "Documents of a request.", _COUNTS
        )
        self.request_tokens = self._histogram("request_tokens", "Tokens of a request.", _TOKENS)
        self.documents = self._counter("documents", "Scored documents.")
        self.cut_documents = self._counter("cut_documents", "Documents that were cut.")
        self.abandoned = self._counter(
            "abandoned_requests", "Whole requests whose clients left before the answer."
        )
        self.inputs = self._counter("inputs", "Scored inputs: documents, or their chunks.")
        self.tokens = self._counter("tokens", "Scored tokens, without padding.")
        self.padding = self._counter("padding_tokens", "Computed padding.")
        self.key_requests = Counter(
            "t5rank_key_requests_total",
            "Answered requests of a named API key.",
            ["key", "status"],
            registry=self.registry,
        )
        self.key_tokens = Counter(
            "t5rank_key_tokens_total",
            "Tokens scored for a named API key.",
            ["key"],
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "t5rank_requests_in_progress", "Requests without answer.", registry=self.registry
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"t5rank_{name}_total", text, ["model"], registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"t5rank_{name}", text, ["model"], buckets=buckets, registry=self.registry)

    def observe(self, model: str, batch: Computed) -> None:
        self.batch_seconds.labels(model).observe(batch.seconds)
        self.batch_inputs.labels(model).observe(batch.rows)
        self.batch_tokens.labels(model).observe(batch.size)
        self.inputs.labels(model).inc(batch.rows)
        self.tokens.labels(model).inc(batch.used)
        self.padding.labels(model).inc(batch.size - batch.used)

    def watch(self, models: Models) -> None:
        """Adds the metrics that are read from the models."""
        self.registry.register(_ModelMetrics(models))

    def text(self) -> bytes:
        """All metrics, in Prometheus's text format."""
        return generate_latest(self.registry)


class _ModelMetrics(Collector):
    def __init__(self, models: Models):
        self._models = models

    def collect(self) -> list[Metric]:
        ready = GaugeMetricFamily("t5rank_ready", "1 for a model that scores.", labels=["model"])
        tokens = GaugeMetricFamily("t5rank_queue_tokens", "Tokens that wait.", labels=["model"])
        waiting = GaugeMetricFamily("t5rank_queue_requests", "Requests waiting.", labels=["model"])
        limit = GaugeMetricFamily("t5rank_queue_limit", "Tokens that may wait.", labels=["model"])
        compiles = CounterMetricFamily(
            "t5rank_compiles_after_ready", "Programs compiled while serving.", labels=["model"]
        )
        reloads = CounterMetricFamily(
            "t5rank_reloads", "New models that took over, or did not.", labels=["model", "result"]
        )
        for name, model in self._models.by_name.items():
            ready.add_metric([name], float(model.engine is not None))
            compiles.add_metric([name], model.compiles)
            for result, count in model.reloads.items():
                reloads.add_metric([name, result], count)
            if (engine := model.engine) is not None:
                tokens.add_metric([name], engine.queue.tokens)
                waiting.add_metric([name], engine.queue.requests)
                limit.add_metric([name], engine.queue.limit)
        return [ready, tokens, waiting, limit, compiles, reloads]
