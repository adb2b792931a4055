"""One run of a trainer: steps, validation, checkpoints, and how it ends."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from t5rank import checkpoints, model_folder
from t5rank.checkpoints import Checkpointer
from t5rank.checkpoints.paths import path
from t5rank.model_folder.model_card import model_card
from t5rank.models import partitioning
from t5rank.runs import records
from t5rank.runs.run_file import save_run
from t5rank.train import data
from t5rank.train.ahead import read_ahead
from t5rank.train.interrupt import Interrupt, Interrupted
from t5rank.train.reporting import Reporter
from t5rank.train.run_record import run_record
from t5rank.train.step import CompiledStep, make_train_step

if TYPE_CHECKING:
    from t5rank.train.loop import Trainer

_log = logging.getLogger(__name__)


class TrainingDivergedError(RuntimeError):
    """The loss is not finite."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
      step: steps done.
      reason: "finished", "stopped early" or "interrupted".
      best_step: the best checkpoint by validation, or None.
      metrics: the last validation.
      signalled: whether SIGTERM or Ctrl-C came, the run's last moments included.
    """

    step: int
    reason: str
    best_step: int | None
    metrics: dict[str, float]
    signalled: bool = False


class TrainingRun:
    """One run of a trainer: what changes from step to step."""

    def __init__(
        self,
        trainer: "Trainer",
        optimizer: Any,
        saver: Checkpointer,
        reporter: Reporter,
        interrupt: Interrupt,
        best: dict[str, Any] | None,
        validated: bool,
    ):
        self.trainer = trainer
        self.optimizer = optimizer
        self.saver = saver
        self.reporter = reporter
        self.interrupt = interrupt
        self.first = self.step = int(optimizer.state.step)
        self.best = best
        self.validated = validated  # at this step
        self.best_on_disk: dict[str, Any] | None = None
        self.unchecked: list[dict[str, Any]] = []  # sums of the steps since the last report
        self.metrics: dict[str, float] = {}

    def run(self) -> TrainResult:
        """Trains until it ends; see `Trainer.train`."""
        t = self.trainer
        if self.step:
            _log.info("Reading past the %d batches that have been trained on.", self.step)
        layout = t.layout(self._lists(), t.groups, self.step)
        try:
            with contextlib.closing(read_ahead(layout)) as batches:
                reason = self._train(batches)
        except Interrupted:
            reason = "interrupted"
        return self._finish(reason)

    def _train(self, batches: Iterator[Any]) -> str:
        """Steps, until there is a reason to end."""
        t = self.trainer
        train_step = make_train_step(t.model, t.learning_rate_fn)
        step_fn = CompiledStep(partitioning.on_mesh(train_step, t.mesh, t.axis_rules))
        rng = jax.random.fold_in(jax.random.key(t.random_seed), 1)
        sharding = partitioning.batch_sharding(t.mesh)
        if self.step and not self.validated and self._is_validated_at(self.step):
            self._validate()  # the run before this one ended in it
        while self.step < t.train_steps and not self._out_of_patience():
            batch = jax.device_put(self._next(batches), sharding)
            with self._device_errors():
                self.optimizer, sums = step_fn(self.optimizer, batch, rng)
                self.step += 1
                self.interrupt.take()
                # One step computes while the next batch is read, and no more than one.
                jax.block_until_ready(self.unchecked[-1:])
            self.unchecked.append(sums)
            self.reporter.tick(self.step)
            self._after_step()
            if self.interrupt.requested and self.step < t.train_steps:
                return "interrupted"
        return "stopped early" if self._out_of_patience() else "finished"

    def _lists(self) -> Iterator[dict[str, np.ndarray]]:
        t = self.trainer
        return data.train_batches(
            t.mixture_or_task_name,
            t.task_feature_lengths,
            t.batch_size,
            t.random_seed,
            use_cached=t.use_cached_tasks,
        )

    def _next(self, batches: Iterator[Any]) -> Any:
        """The next batch. Where it cannot be read, what has been trained is saved first."""
        try:
            with self.interrupt.at_once():
                return next(batches)
        except Exception:
            if self.step > self.first:
                self._save()
                self.saver.wait()
                _log.info("Saved step %d.", self.step)
            raise

    @contextlib.contextmanager
    def _device_errors(self) -> Iterator[None]:
        """Turns a device's report, which may have pages, into a sentence."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            said = str(error).strip().splitlines()[0]
            raise RuntimeError(
                f"The device failed at step {self.step:,}: {said} The last checkpoint is "
                f"{self._saved()}. Where memory is short: NUM_MICROBATCHES, GRADIENT_CACHE_ROWS or "
                "REMAT_POLICY, in t5rank/configs/runs/training.gin."
            ) from error

    def _is_validated_at(self, step: int) -> bool:
        t = self.trainer
        due = step % t.eval_period == 0 if t.eval_period else False
        return t.validation is not None and (due or step == t.train_steps)

    def _after_step(self) -> None:
        t = self.trainer
        last = self.step == t.train_steps
        if self.step % t.log_period == 0 or last:
            self._report()
            self._write_best()
        validate = self._is_validated_at(self.step)
        if validate or last or self.step % t.checkpoint_period == 0:
            self._save()
        if validate:
            self.saver.wait()  # whatever validation meets, what has been trained is on disk
            self._validate()

    def _report(self) -> None:
        """Reads the steps' sums off the device; a loss that is not finite stops the run here."""
        if not self.unchecked:
            return
        first = self.step - len(self.unchecked) + 1
        with self._device_errors():
            steps, self.unchecked = jax.device_get(self.unchecked), []
        for i, sums in enumerate(steps):
            if not (np.isfinite(sums["loss"][0]) and np.isfinite(sums["grad_norm"][0])):
                raise TrainingDivergedError(self._divergence(first + i, sums))
        total = {name: sum(sums[name] for sums in steps) for name in steps[0]}
        means = {name: float(s / c) if c else 0.0 for name, (s, c) in total.items()}
        self.reporter.train(self.step, means)

    def _divergence(self, step: int, sums: Mapping[str, Any]) -> str:
        return (
            f"Training loss has {sums['loss'][0]} and gradient norm {sums['grad_norm'][0]} at step "
            f"{step}; expected finite numbers. The last checkpoint before it is {self._saved()}. "
            "Lower LEARNING_RATE, warm up longer, or look at the labels of the data."
        )

    def _saved(self) -> str:
        step = self.saver.latest_step()
        return "none" if step is None else str(step)

    def _validate(self) -> None:
        t = self.trainer
        assert t.validation is not None
        start = time.monotonic()
        with self.interrupt.at_once(), self._device_errors():
            self.metrics = t.validation(self.optimizer.target)
        value = self.metrics.get(t.best_metric.removeprefix("-"))
        if value is None:
            raise ValueError(
                f"Validation has no '{t.best_metric}'; expected lists with a relevant document."
            )
        is_best = records.is_better(t.best_metric, value, self.best)
        if is_best:
            self.best = {"step": self.step, "metric": t.best_metric, "value": value}
        self.reporter.validation(self.step, self.metrics, time.monotonic() - start, is_best)
        self._write_best()

    def _save(self) -> None:
        self._report()  # nothing that diverged is saved
        if self.best is not None:
            self.saver.best_step = self.best["step"]
        self.saver.save(self.step, self.optimizer)
        self._write_best()

    def _write_best(self) -> None:
        """Names the best checkpoint once it is on disk, so that the name always leads somewhere."""
        if self.best is None or self.best == self.best_on_disk:
            return
        if self.best["step"] in checkpoints.steps(self.trainer.model_dir):
            model_folder.save_best(self.trainer.model_dir, self.best)
            self.best_on_disk = self.best

    def _out_of_patience(self) -> bool:
        t = self.trainer
        if t.early_stopping_patience is None or self.best is None or not t.eval_period:
            return False
        return self.step - self.best["step"] >= t.early_stopping_patience * t.eval_period

    def _finish(self, reason: str) -> TrainResult:
        if self.step > 0:
            self._save()
            self.saver.wait()
            self._write_best()
            self.saver.tidy()
            self.reporter.end(self.step, reason, self.best)
            self._write_record(reason)
        best_step = None if self.best is None else self.best["step"]
        signalled = self.interrupt.requested
        return TrainResult(self.step, reason, best_step, self.metrics, signalled)

    def _write_record(self, reason: str) -> None:
        t = self.trainer
        size = partitioning.count_parameters(self.optimizer.target)
        logged = records.read_records(path(t.model_dir), until=self.step)
        record = run_record(t, self.step, reason, self.best, size, logged)
        save_run(path(t.model_dir), record)
        for task, found in record["irregular_data"].items():
            for what, number in found.items():
                _log.info("Data of '%s': %d %s.", task, number, what.replace("_", " "))
        model_folder.save_card(t.model_dir, model_card(t.model, t.encoder, record))
