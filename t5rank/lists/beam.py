"""Writes the blocks of lists on Apache Beam: the same files, on as many machines as it has."""

from __future__ import annotations

from dataclasses import dataclass

from t5rank.lists.shards import Writer
from t5rank.process.packages import check_installed


@dataclass(frozen=True)
class BeamRunner:
    """Runs a pipeline and waits for its end.

    The sources and the folder must have the same paths on every machine. Each worker indexes the
    collection and the runs once. A pipeline that failed goes on where it was when it is run again.

    Attributes:
      options: Beam's own, such as `("--runner=DirectRunner", "--direct_num_workers=4")`.

    Raises:
      MissingExtra: Beam is not installed.
    """

    options: tuple[str, ...] = ()

    def __call__(self, writer: Writer) -> None:
        """Writes all blocks."""
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
