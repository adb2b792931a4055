"""What an API key may use in a minute."""

import dataclasses
import math
import time
from collections.abc import Callable

from t5rank.serve.errors import Refusal


@dataclasses.dataclass
class Allowance:
    """A token bucket: it fills evenly, and holds at most what a minute gives.

    Attributes:
      per_minute: what it gives.
      clock: seconds.
    """

    per_minute: int
    clock: Callable[[], float] = dataclasses.field(default=time.monotonic, compare=False)

    def __post_init__(self) -> None:
        self._left = float(self.per_minute)
        self._at = self.clock()

    def take(self, amount: int, what: str) -> None:
        """Takes an amount. While more has been spent than there was, even 0 is refused.

        Raises:
          Refusal: less is left. `Retry-After` says when there will be enough.
        """
        now = self.clock()
        grown = self._left + (now - self._at) * self.per_minute / 60
        self._left, self._at = min(float(self.per_minute), grown), now
        if self._left < amount:
            seconds = math.ceil((amount - self._left) * 60 / self.per_minute)
            message = (
                f"API key has used its {self.per_minute:,} {what} a minute; expected fewer. Try "
                f"again in {seconds} s."
            )
            raise Refusal(429, "rate_limited", message, {"Retry-After": str(seconds)})
        self._left -= amount

    def spend(self, amount: int) -> None:
        """Takes an amount that was not known before; less than nothing may be left."""
        self._left -= amount
