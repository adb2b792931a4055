"""Writes the blocks of lists on Apache Beam: the same files, on as many machines as it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from t5rank.lists.shards import Writer


@dataclass(frozen=True)
class BeamRunner:
    """Runs a pipeline and waits for its end.

    The sources and the folder must have the same paths on every machine. Each worker indexes the
    collection and the runs once. A pipeline that failed goes on where it was when it is run again.

    Attributes:
      options: Beam's own, such as `("--runner=DirectRunner", "--direct_num_workers=4")`.
    """

    options: tuple[str, ...] = ()

    def __call__(self, writer: Writer) -> None:
        """Writes all blocks."""
        with beam.Pipeline(options=PipelineOptions(list(self.options))) as pipeline:
            _ = (
                pipeline
                | beam.Create([writer])
                | "blocks" >> beam.FlatMap(Writer.blocks)
                | beam.Reshuffle()
                | "write" >> beam.ParDo(_Write(writer))
            )


class _Write(beam.DoFn):
    """Writes a block; keeps the writer, and so what its source has indexed."""

    def __init__(self, writer: Writer):
        self._writer = writer

    def process(self, numbered: tuple[int, Any]) -> None:
        self._writer.write(*numbered)
