"""Writes the blocks of lists on Apache Beam: the same files, made by many machines."""

from __future__ import annotations

from dataclasses import dataclass

from t5rank.lists.shards import Writer
from t5rank.process.packages import check_installed


@dataclass(frozen=True)
class BeamRunner:
    """Writes all blocks in a pipeline of Beam, and waits for its end.

    The sources and the folder must have the same paths on every machine. Each worker indexes the
    collection and the runs once. A pipeline that failed continues where it was when it runs again.

    Attributes:
      options: Beam's own, such as `("--runner=DirectRunner", "--direct_num_workers=4")`.

    Raises:
      MissingExtra: Beam is not installed.
    """

    options: tuple[str, ...] = ()

    def __call__(self, writer: Writer) -> None:
        check_installed("beam")
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        with beam.Pipeline(options=PipelineOptions(list(self.options))) as pipeline:
            _ = (
                pipeline
                | beam.Create([writer])
                | "blocks" >> beam.FlatMap(Writer.blocks)
                | beam.Reshuffle()
                | "write" >> beam.MapTuple(writer.write)
            )
