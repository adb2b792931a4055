"""The trainer: its settings, and how a run starts or resumes."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from t5rank import checkpoints, model_folder, optimizers, partitioning
from t5rank.checkpoints import Checkpointer
from t5rank.checkpoints.paths import path
from t5rank.layouts import Layout, packed
from t5rank.models import operations
from t5rank.models.ranking import RankingModel
from t5rank.preprocessors import input_length
from t5rank.prompts import PairEncoder, Prompt
from t5rank.scoring import PairScorer
from t5rank.tasks import lists
from t5rank.train import data, records
from t5rank.train.interrupt import Interrupt
from t5rank.train.reporting import Reporter
from t5rank.train.run import Run, TrainResult
from t5rank.train.validation import Validation
from t5rank.types import PyTree
from t5rank.vocabulary import Vocabulary

_log = logging.getLogger(__name__)


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
      eval_queries: validate on so many queries of a task; see `validation.Validation`.
      eval_topn: rerank so many documents of each validation list, the first ones.
      eval_qrels: a file of qrels, for figures as a run (`run/...`); by default that of the split,
        where it has one, as passage ranking's have.
      eval_measures: those figures, names of ir_measures.
      eval_batch_tokens: tokens scored at once in validation; what suits the device by default.
      checkpoint_period: save every so many steps; the end and a new best are saved besides.
      keep_checkpoints: how many of the latest checkpoints stay.
      best_metric: which validation metric says what checkpoint is best; "-" before it if it falls.
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
    eval_queries: int | None = None
    eval_topn: int | None = None
    eval_qrels: str | None = None
    eval_measures: str = "RR@10 nDCG@10"
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
        self.scorer = PairScorer(self.model.score, self.eval_batch_tokens, self.mesh)
        self.validation = self._validation() if self.eval_period else None

    def _check_sizes(self) -> None:
        names = ("batch_size", "train_steps", "log_period")
        maybe = ("eval_queries", "eval_topn", "early_stopping_patience")
        for name in (*names, *(name for name in maybe if getattr(self, name) is not None)):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Setting '{name}' has {getattr(self, name)}; expected at least 1."
                )

    def _validation(self) -> Validation:
        if lists.text_settings(self.eval_task) != lists.text_settings(self.mixture_or_task_name):
            raise ValueError(
                f"Task '{self.eval_task}' has another prompt or vocabulary than "
                f"'{self.mixture_or_task_name}'; expected the same."
            )
        tasks = data.tasks_with(self.eval_task, self.eval_split)
        if not tasks:
            raise ValueError(
                f"Task '{self.eval_task}' has no split '{self.eval_split}'; "
                "expected one, or EVAL_PERIOD = 0."
            )
        validation = Validation(
            tasks,
            self.eval_split,
            self.encoder,
            self.scorer,
            self.model.metric_fns,
            self._qrels_files(tasks),
            self.eval_measures,
            self.eval_queries,
            self.eval_topn,
            self.use_cached_tasks,
        )
        if self.best_metric.removeprefix("-") not in validation.names():
            raise ValueError(
                f"BEST_METRIC has '{self.best_metric}'; expected one of {validation.names()}. "
                "Those of 'run/' need qrels: the split's own, or EVAL_QRELS."
            )
        return validation

    def _qrels_files(self, tasks: Sequence[str]) -> dict[str, str]:
        if self.eval_qrels is not None:
            if len(tasks) > 1:
                raise ValueError(
                    f"EVAL_QRELS has one file for the {len(tasks)} tasks of '{self.eval_task}'; "
                    "expected one task."
                )
            return {tasks[0]: self.eval_qrels}
        found = {task: lists.split_files(task)[self.eval_split].get("qrels") for task in tasks}
        return {task: file for task, file in found.items() if file is not None}

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
            logged = records.read_records(folder, until=int(step))
            reporter.start(int(step), size, logged)
            best = self.best_so_far(logged)
            return Run(self, optimizer, saver, reporter, interrupt, best).run()

    def best_so_far(self, logged: Sequence[records.Record]) -> dict[str, Any] | None:
        """The best checkpoint by this run's metric, which need not be that of the runs before it.

        A crash may have come between a best checkpoint and its name on disk: the records know it.
        """
        best = model_folder.load_best(self.model_dir)
        if best is not None and best["metric"] != self.best_metric:
            best = None
        steps = checkpoints.steps(self.model_dir)
        return records.best_of(logged, self.best_metric, steps, best)

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
            checkpoints.check_vocabulary(
                checkpoints.open_checkpoint(self.initial_checkpoint_path),
                self.encoder.vocabulary,
                self.model.module.config.vocab_size,
            )
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
