"""What a run shows: a progress bar, lines, TensorBoard, `metrics.jsonl` and a learning curve."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from clu import metric_writers
from etils import epath
from tqdm import tqdm

from t5rank.formats.numbers import shown
from t5rank.formats.text_files import write_text
from t5rank.runs.records import METRICS, TRAIN, VALIDATION, Record
from t5rank.train.curves import learning_curves

CURVE = "learning_curve.png"
_UNSHOWN = ("documents", "tokens", "rows", "operations", "padding", "list_size", "grad_norm")
_log = logging.getLogger(__name__)


class Reporter:
    """Reports one run; use it as a context.

    Args:
      folder: the model folder; TensorBoard's files go to `train` and `validation` in it.
      train_steps: where the run ends.
      peak: operations per second that the devices could do, for the share that is reached (MFU);
        None where it is not known.
    """

    def __init__(self, folder: epath.Path, train_steps: int, peak: float | None = None):
        self._folder = folder
        self._lines: list[str] = []  # of METRICS: object stores cannot append
        self._train_steps = train_steps
        self._peak = peak
        self._writers = {
            name: metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder / name)))
            for name in (TRAIN, VALIDATION)
        }
        self._bar: tqdm | None = None
        self._since = (0, time.monotonic())  # step and time of the last report
        self._counted = self._since  # the same, compilation included
        self._compiling = True

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        for writer in self._writers.values():
            try:
                writer.close()
            except Exception:
                if kind is None:  # an error that has been raised says more
                    raise

    def start(self, step: int, parameters: int, records: Sequence[Record]) -> None:
        """Begins at `step`, with the records up to it of earlier runs."""
        self._line(f"{parameters:,} parameters, step {step:,} to {self._train_steps:,}")
        self._lines = [json.dumps(record) for record in records]
        self._since = self._counted = (step, time.monotonic())
        self._bar = tqdm(
            total=self._train_steps, initial=step, desc="training", unit=" steps", disable=None
        )

    def tick(self, step: int) -> None:
        """One step is done."""
        if self._compiling:  # the first step's time says nothing about the others
            self._since, self._compiling = (step, time.monotonic()), False
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def train(self, step: int, means: Mapping[str, float]) -> None:
        """Means over the steps since the last report."""
        now = time.monotonic()
        (before, then), (counted, start) = self._since, self._counted
        self._since = self._counted = (step, now)
        rate = (step - before) / max(now - then, 1e-9)
        tokens = means["tokens"] * rate
        values = {"steps": step - counted, "seconds": now - start, **means}
        values |= {"steps_per_second": rate, "tokens_per_second": tokens}
        values["operations_per_second"] = means["operations"] * rate
        if self._peak is not None:
            values["mfu"] = values["operations_per_second"] / self._peak
        self._write(TRAIN, step, values)
        left = (self._train_steps - step) / rate if rate else 0.0
        figures = "  ".join(
            f"{name} {shown(means[name])}" for name in means if name not in _UNSHOWN
        )
        mfu = f"{_speed(100 * values['mfu'])}% MFU  " if "mfu" in values else ""
        self._line(
            f"step {step:,}/{self._train_steps:,}  {figures}  {_speed(rate)} steps/s  "
            f"{_speed(tokens)} tokens/s  {mfu}{_duration(left)} left"
        )

    def validation(
        self, step: int, metrics: Mapping[str, float], seconds: float, is_best: bool
    ) -> None:
        """One validation."""
        self._write(VALIDATION, step, metrics)
        # Validation is no training time.
        self._since = (self._since[0], self._since[1] + seconds)
        self._counted = (self._counted[0], self._counted[1] + seconds)
        mark = "  (best)" if is_best else ""
        self._line(f"step {step:,}  validation, {_figures(metrics, '')}{mark}")
        for name in metrics:
            task = name.removesuffix("/lists")
            if task != name and not task.endswith("answerable"):
                self._line(f"    {task}, {_figures(metrics, task + '/')}")

    def end(self, step: int, reason: str, best: Mapping[str, Any] | None) -> None:
        """The last line, and the picture."""
        text = f"Training {reason} at step {step:,}."
        if best is not None:
            text += f" Best {best['metric']} {shown(best['value'])} at step {best['step']:,}."
        self._line(text)
        if self._lines:
            learning_curves({"": self._folder}, self._folder / CURVE)
            self._line(f"Learning curve: {self._folder / CURVE}")

    def _write(self, part: str, step: int, values: Mapping[str, float]) -> None:
        self._writers[part].write_scalars(step, dict(values))
        self._lines.append(json.dumps({"step": step, "part": part, **values}))
        write_text(self._folder / METRICS, "".join(line + "\n" for line in self._lines))

    def _line(self, text: str) -> None:
        _log.info("%s", text)


def _figures(metrics: Mapping[str, float], prefix: str) -> str:
    """The figures of all lists, or of a task, whose names begin with `prefix`."""
    own = {n.removeprefix(prefix): value for n, value in metrics.items() if n.startswith(prefix)}
    parts = ["", "run/", "retrieval/"]
    if own["answerable/lists"] != own["lists"]:
        parts.append("answerable/")
    figures = [
        f"{name} {shown(value)}"
        for name, value in own.items()
        if not name.endswith("lists") and name[: name.rfind("/") + 1] in parts
    ]
    return f"{own['lists']:,.0f} lists: {'  '.join(figures)}"


def _speed(value: float) -> str:
    """A speed, of which three digits say enough.

    >>> [_speed(value) for value in (0.0, 0.0042, 1.234, 98765.4)]
    ['0', '0.0042', '1.23', '98,765']
    """
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.3g}"


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
