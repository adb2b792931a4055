"""The times of a request's parts."""

from typing import NamedTuple


class Times(NamedTuple):
    """Seconds of one request.

    Attributes:
      total: from the parsed body to the scores.
      queue: in the queue, until the first batch.
      score: from the first batch to the last.
    """

    total: float
    queue: float
    score: float

    @property
    def tokenize(self) -> float:
        """The rest of the time: until the tokens were put into the queue."""
        return max(0.0, self.total - self.queue - self.score)

    def logged(self) -> dict[str, float]:
        """The fields of the log, in seconds."""
        parts = {"tokenize": self.tokenize, "queue": self.queue, "score": self.score}
        return {f"{name}_seconds": round(seconds, 4) for name, seconds in parts.items()}

    def headers(self) -> dict[str, str]:
        """TEI's headers, in whole milliseconds."""
        parts = {
            "total": self.total,
            "tokenization": self.tokenize,
            "queue": self.queue,
            "inference": self.score,
        }
        return {f"x-{name}-time": f"{1000 * seconds:.0f}" for name, seconds in parts.items()}
