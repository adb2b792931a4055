"""Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): who is served next.

A packet's start tag is the larger of the virtual time at which it came and the finish tag of its
flow's packet before; its finish tag is the start tag plus its length (all weights are one). The
lowest start tag is served next, and is the virtual time while it is being served.

The paper leaves open what a flow is. Here a flow is the requests of one client that have about one
size, within a factor of `_BAND`. So a request of few documents never waits behind one of many: the
two are in different flows. All small requests of a client are one flow, whatever their connections.
As long as small and large ones wait, each flow gets the same share. Within a flow, the first that
came is served first.

A job is served in pieces. Each piece is a packet, and its start tag is the finish tag of the piece
before.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable

_BAND = 4


@dataclasses.dataclass(eq=False)
class Job:
    """What waits to be served.

    Attributes:
      client: the client that it belongs to.
      flow: see above.
      came: the virtual time at which the job came.
      tag: the start tag of its next piece.
      order: how many jobs came before.
    """

    client: Hashable = dataclasses.field(default="", kw_only=True)
    flow: Hashable = dataclasses.field(default=None, init=False)
    came: float = dataclasses.field(default=0.0, init=False)
    tag: float = dataclasses.field(default=0.0, init=False)
    order: int = dataclasses.field(default=0, init=False)


class FairOrder:
    """The tags of the jobs that wait for one server, or for several alike. The owner has the lock.

    Attributes:
      now: the virtual time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._finish: dict[Hashable, float] = {}
        self._count = 0

    def add(self, job: Job, length: float) -> None:
        """Gives a job its first start tag.

        Args:
          job: the job that came.
          length: of all its pieces.
        """
        self._finish = {flow: tag for flow, tag in self._finish.items() if tag > self.now}
        job.flow = (job.client, int(math.log(max(1.0, length), _BAND)))
        job.came, job.order = self.now, self._count
        job.tag = max(self.now, self._finish.get(job.flow, 0.0))
        self._finish[job.flow] = job.tag + length
        self._count += 1

    def serve(self, job: Job) -> None:
        """Moves virtual time on to the job that is served now."""
        self.now = max(self.now, job.tag)

    def drop(self, job: Job, length: float, others: Iterable[Job]) -> None:
        """Lets the jobs behind one move up by the length that will not be served."""
        if job.flow in self._finish:
            self._finish[job.flow] -= length
        for other in others:
            if other.flow == job.flow and other.order > job.order:
                other.tag = max(other.came, other.tag - length)

    def rest(self) -> None:
        """Moves virtual time on to the last finish tag, as nothing waits."""
        self.now = max([self.now, *self._finish.values()])


def rank(job: Job) -> tuple[float, int]:
    """The order of service."""
    return job.tag, job.order
