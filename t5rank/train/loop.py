"""The training loop: steps, validation, checkpoints, resume and stopping."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from t5rank import checkpoints, model_folder, optimizers, partitioning
from t5rank.checkpoints import Checkpointer
from t5rank.checkpoints.paths import path
from t5rank.layouts import Layout, packed
from t5rank.model_card import model_card
from t5rank.models import operations
from t5rank.models.ranking import RankingModel
from t5rank.preprocessors import input_length
from t5rank.prompts import PairEncoder, Prompt
from t5rank.scoring import PairScorer, prefetched
from t5rank.tasks import lists
from t5rank.train import data
from t5rank.train.interrupt import Interrupt
from t5rank.train.records import read_records
from t5rank.train.reporting import Reporter
from t5rank.train.run_record import run_record
from t5rank.train.step import CompiledStep, make_train_step
from t5rank.train.validation import validate
from t5rank.types import PyTree
from t5rank.vocabulary import Vocabulary

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
    """

    step: int
    reason: str
    best_step: int | None
    metrics: dict[str, float]


@dataclasses.dataclass
class Trainer:
    """Trains a ranking model on a seqio task into a model folder.

    Run again with the same model folder, it resumes from the latest checkpoint and gives the same
    result as a run that was never interrupted, data order and dropout included.

    Attributes:
      model: network, head, loss, metrics and optimizer.
      model_dir: where everything is written; see `t5rank.model_folder`.
      mixture_or_task_name: a seqio task registered by `t5rank.tasks`.
      task_feature_lengths: `inputs` (list size, tokens), `targets` (list size, 1), `label` and
        `mask` (list size,).
      batch_size: lists per step.
      train_steps: the step at which training ends.
      learning_rate_fn: step, from 0, to learning rate; see `t5rank.schedules`.
      initial_checkpoint_path: a checkpoint of any format to take the parameters from, see
        `checkpoints.open_checkpoint`; None starts from scratch.
      eval_mixture_or_task_name: what to validate on; the training task by default.
      eval_split: the split to validate on.
      eval_period: validate every so many steps; 0 never validates.
      eval_batch_tokens: tokens scored at once in validation; what suits the device by default.
      checkpoint_period: save every so many steps; the end and a new best are saved besides.
      keep_checkpoints: how many of the latest checkpoints stay.
      best_metric: which validation metric says what checkpoint is best.
      early_stopping_patience: stop after so many validations without a new best; None never does.
      layout: how lists are laid out, a function of `t5rank.layouts`.
      model_parallel: devices that share one copy of the parameters.
      parameter_partitioning_dims: 2 splits parameters and optimizer state over the data-parallel
        devices as well; see `partitioning.logical_axis_rules`.
      random_seed: of initialization, data order, sampling and dropout.
      use_cached_tasks: read the output of seqio_cache_tasks.
      log_period: report every so many steps.
      assignment_map: which of the initial checkpoint's parameters go where, and which start from
        scratch; see `checkpoints.restoring`.
    """

    model: RankingModel
    model_dir: str
    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, Sequence[int]]
    batch_size: int
    train_steps: int
    learning_rate_fn: Callable[[Any], Any]
    initial_checkpoint_path: str | None = None
    eval_mixture_or_task_name: str | None = None
    eval_split: str = "validation"
    eval_period: int = 1000
    eval_batch_tokens: int | None = None
    checkpoint_period: int = 1000
    keep_checkpoints: int = 1
    best_metric: str = "mrr@10"
    early_stopping_patience: int | None = None
    layout: Layout = packed
    model_parallel: int = 1
    parameter_partitioning_dims: int = 1
    random_seed: int = 0
    use_cached_tasks: bool = False
    log_period: int = 100
    assignment_map: checkpoints.AssignmentMap = ()

    def __post_init__(self) -> None:
        self._check_sizes()
        self.mesh = partitioning.make_mesh(self.model_parallel)
        self.axis_rules = partitioning.logical_axis_rules(self.parameter_partitioning_dims)
        self.groups = partitioning.data_parallelism(self.mesh) * self.model.num_microbatches
        if self.batch_size % self.groups:
            raise ValueError(
                f"BATCH_SIZE has {self.batch_size} lists; expected a multiple of {self.groups}, "
                "the data-parallel devices times the microbatches."
            )
        vocabulary_file, prompt = lists.text_settings(self.mixture_or_task_name)
        self.encoder = PairEncoder(
            Vocabulary(vocabulary_file), Prompt(prompt), input_length(self.task_feature_lengths)
        )
        self.encoder.vocabulary.check_rows(self.model.module.config.vocab_size)
        self.eval_task = self.eval_mixture_or_task_name or self.mixture_or_task_name
        self._check_evaluation()
        self.scorer = PairScorer(self.model.score, self.eval_batch_tokens, self.mesh)

    def _check_sizes(self) -> None:
        for name in ("batch_size", "train_steps", "log_period"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Setting '{name}' has {getattr(self, name)}; expected at least 1."
                )

    def _check_evaluation(self) -> None:
        if not self.eval_period:
            return
        if lists.text_settings(self.eval_task) != lists.text_settings(self.mixture_or_task_name):
            raise ValueError(
                f"Task '{self.eval_task}' has another prompt or vocabulary than "
                f"'{self.mixture_or_task_name}'; expected the same."
            )
        if not data.has_split(self.eval_task, self.eval_split):
            raise ValueError(
                f"Task '{self.eval_task}' has no split '{self.eval_split}'; "
                "expected one, or EVAL_PERIOD = 0."
            )
        known = set(self.model.metric_fns)
        if self.best_metric.removeprefix("answerable/") not in known:
            raise ValueError(
                f"BEST_METRIC has '{self.best_metric}'; expected one of {sorted(known)}, "
                "or one with 'answerable/' before it."
            )

    def train(self) -> TrainResult:
        """Trains to `train_steps` and returns how it ended.

        Raises:
          TrainingDivergedError: the loss is not finite.
          ValueError: the data or the initial checkpoint are wrong.
        """
        folder = path(self.model_dir)
        folder.mkdir(parents=True, exist_ok=True)
        model_folder.save_config(folder, self.model, self.encoder)
        with (
            Checkpointer(folder, self.keep_checkpoints, model_folder.best_step(folder)) as saver,
            Reporter(folder, self.train_steps, self.peak_operations()) as reporter,
            Interrupt() as interrupt,
        ):
            optimizer = self._initial_optimizer(saver)
            step, size = optimizer.state.step, partitioning.count_parameters(optimizer.target)
            reporter.start(int(step), size, read_records(folder, until=int(step)))
            return _Run(self, optimizer, saver, reporter, interrupt).run()

    def peak_operations(self) -> float | None:
        """Operations per second that all devices together could do; None where not known."""
        peak = operations.peak_operations(self.mesh.devices.flat[0])
        return None if peak is None else peak * self.mesh.size

    def _initial_optimizer(self, saver: Checkpointer) -> Any:
        variables = jax.eval_shape(self._variables)
        axes = partitioning.axis_names(variables["params_axes"])

        def create(restored: PyTree) -> Any:
            # What was not restored is initialized.
            params = checkpoints.merge(self._variables()["params"], restored)
            return optimizers.create(self.model.optimizer_def, params, axes)

        shapes = jax.eval_shape(create, {})
        logical = self.model.optimizer_def.derive_logical_axes(shapes, axes)
        shardings = partitioning.shardings(shapes, logical, self.mesh, self.axis_rules)
        like = jax.tree.map(_with_sharding, shapes, shardings)
        step = saver.latest_step()
        if step is not None:
            _log.info("Resuming from step %d of '%s'.", step, self.model_dir)
            return saver.restore(step, like)
        restored: PyTree = {}
        if self.initial_checkpoint_path is not None:
            restored, _ = checkpoints.restore(
                self.initial_checkpoint_path, like.target, self.assignment_map
            )
        return jax.jit(create, out_shardings=shardings)(restored)

    def _variables(self) -> dict[str, Any]:
        shapes = {"encoder_input_tokens": (1, 1, 8)}
        rng = jax.random.key(self.random_seed)
        return self.model.get_initial_variables(rng, shapes).unfreeze()


def _with_sharding(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


class _Run:
    """One run of a trainer: what changes from step to step."""

    def __init__(
        self,
        trainer: Trainer,
        optimizer: Any,
        saver: Checkpointer,
        reporter: Reporter,
        interrupt: Interrupt,
    ):
        self.trainer = trainer
        self.optimizer = optimizer
        self.saver = saver
        self.reporter = reporter
        self.interrupt = interrupt
        self.step = int(optimizer.state.step)
        self.best = model_folder.load_best(trainer.model_dir)
        self.unchecked: list[dict[str, Any]] = []  # sums of the steps since the last report
        self.metrics: dict[str, float] = {}

    def run(self) -> TrainResult:
        t = self.trainer
        step_fn = CompiledStep(make_train_step(t.model, t.learning_rate_fn))
        rng = jax.random.fold_in(jax.random.key(t.random_seed), 1)
        sharding = partitioning.batch_sharding(t.mesh)
        lists = self._lists()
        if self.step:
            _log.info("Reading past the %d batches that have been trained on.", self.step)
        batches = prefetched(t.layout(lists, t.groups, self.step))
        reason = "stopped early" if self._out_of_patience() else "finished"
        while self.step < t.train_steps and reason == "finished":
            batch = jax.device_put(next(batches), sharding)
            self.optimizer, sums = step_fn(self.optimizer, batch, rng)
            self.step += 1
            # One step computes while the next batch is read, and no more than one.
            jax.block_until_ready(self.unchecked[-1:])
            self.unchecked.append(sums)
            self.reporter.tick(self.step)
            self._after_step()
            if self._out_of_patience():
                reason = "stopped early"
            elif self.interrupt.requested and self.step < t.train_steps:
                reason = "interrupted"
        data.close(batches)
        data.close(lists)
        return self._finish(reason)

    def _lists(self) -> Iterator[dict[str, np.ndarray]]:
        t = self.trainer
        return data.train_batches(
            t.mixture_or_task_name,
            t.task_feature_lengths,
            t.batch_size,
            t.random_seed,
            use_cached=t.use_cached_tasks,
        )

    def _after_step(self) -> None:
        t = self.trainer
        last = self.step == t.train_steps
        if self.step % t.log_period == 0 or last:
            self._report()
        is_best = False
        if t.eval_period and (self.step % t.eval_period == 0 or last):
            is_best = self._validate()
        if is_best or last or self.step % t.checkpoint_period == 0:
            self._save()

    def _report(self) -> None:
        """Reads the steps' sums off the device; a loss that is not finite stops the run here."""
        if not self.unchecked:
            return
        first = self.step - len(self.unchecked) + 1
        steps, self.unchecked = jax.device_get(self.unchecked), []
        for i, sums in enumerate(steps):
            if not (np.isfinite(sums["loss"][0]) and np.isfinite(sums["grad_norm"][0])):
                raise TrainingDivergedError(self._divergence(first + i, sums))
        total = {name: sum(sums[name] for sums in steps) for name in steps[0]}
        means = {name: float(s / c) if c else 0.0 for name, (s, c) in total.items()}
        self.reporter.train(self.step, means)

    def _divergence(self, step: int, sums: Mapping[str, Any]) -> str:
        safe = self.saver.latest_step()
        return (
            f"Training loss has {sums['loss'][0]} and gradient norm {sums['grad_norm'][0]} at step "
            f"{step}; expected finite numbers. The last checkpoint before it is "
            f"{'none' if safe is None else safe}. Lower LEARNING_RATE, warm up longer, or look at "
            "the labels of the data."
        )

    def _validate(self) -> bool:
        t = self.trainer
        self._report()  # a diverged model is not worth validating
        start = time.monotonic()
        found = data.validation_lists(t.eval_task, t.encoder, t.eval_split, t.use_cached_tasks)
        self.metrics = validate(t.scorer, self.optimizer.target, found, t.model.metric_fns)
        value = self.metrics.get(t.best_metric, 0.0)
        is_best = self.best is None or value > self.best["value"]
        if is_best:
            self.best = {"step": self.step, "metric": t.best_metric, "value": value}
        self.reporter.validation(self.step, self.metrics, time.monotonic() - start, is_best)
        return is_best

    def _save(self) -> None:
        self._report()  # nothing that diverged is saved
        if self.best is not None:
            self.saver.best_step = self.best["step"]
        self.saver.save(self.step, self.optimizer)
        self._write_best()

    def _write_best(self) -> None:
        """Names the best checkpoint once it is on disk, so that the name always leads somewhere."""
        t = self.trainer
        if self.best is not None and self.best["step"] in checkpoints.steps(t.model_dir):
            model_folder.save_best(t.model_dir, self.best)

    def _out_of_patience(self) -> bool:
        t = self.trainer
        if t.early_stopping_patience is None or self.best is None or not t.eval_period:
            return False
        return self.step - self.best["step"] >= t.early_stopping_patience * t.eval_period

    def _finish(self, reason: str) -> TrainResult:
        self._save()
        self.saver.wait()
        self._write_best()
        best_step = None if self.best is None else self.best["step"]
        self.reporter.end(self.step, reason, self.best)
        self._write_record(reason)
        return TrainResult(self.step, reason, best_step, self.metrics)

    def _write_record(self, reason: str) -> None:
        t = self.trainer
        size = partitioning.count_parameters(self.optimizer.target)
        logged = read_records(t.model_dir, until=self.step)
        record = run_record(t, self.step, reason, self.best, size, logged)
        model_folder.save_run(t.model_dir, record)
        model_folder.save_card(t.model_dir, model_card(t.model, t.encoder, record))
