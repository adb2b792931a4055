"""The trainer: its settings, and how a run starts or resumes."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from t5rank import checkpoints, model_folder
from t5rank.checkpoints import Checkpointer
from t5rank.checkpoints.paths import path
from t5rank.checks import check_boolean, check_integer, check_text
from t5rank.evaluation import DEFAULT_MEASURES
from t5rank.inference.scoring import ModelScorer
from t5rank.models import operations, partitioning
from t5rank.models.ranking import RankingModel
from t5rank.runs import records
from t5rank.tasks import registry
from t5rank.tasks.preprocessors import (
    check_lengths,
    feature_lengths,
    input_length,
    list_size,
)
from t5rank.text.encoders import make_encoder, written_form
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import data, optimizers, preflight, resuming, retrieval, schedules, settings
from t5rank.train.interrupt import Interrupt
from t5rank.train.layouts import Layout, packed
from t5rank.train.lock import locked
from t5rank.train.reporting import Reporter
from t5rank.train.run import TrainingRun, TrainResult
from t5rank.train.validation import Validation
from t5rank.types import PyTree

_log = logging.getLogger(__name__)
_INTEGERS = (
    *("batch_size", "train_steps", "log_period", "eval_period", "checkpoint_period"),
    *("keep_checkpoints", "model_parallel", "parameter_partitioning_dims", "random_seed"),
)
_INTEGERS_OR_NONE = ("eval_queries", "eval_topn", "eval_batch_tokens", "early_stopping_patience")


@dataclasses.dataclass
class Trainer:
    """Trains a ranking model on a seqio task into a model folder.

    Run again with the same model folder, it resumes from the latest checkpoint and gives the same
    result as a run that was never interrupted, data order and dropout included.

    Attributes:
      model: network, head, loss and metrics.
      model_dir: where everything is written; see `t5rank.model_folder`.
      mixture_or_task_name: a seqio task registered by `t5rank.tasks`.
      task_feature_lengths: the list size and the tokens of an input, as
        `t5rank.tasks.preprocessors.feature_lengths` gives them.
      batch_size: lists per step.
      train_steps: the step at which training ends.
      learning_rate_fn: step, from 0, to learning rate; see `t5rank.train.schedules`.
      optimizer_def: how the parameters are trained; see `t5rank.train.optimizers`.
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
      eval_collection: a collection's file; a dual encoder's validation then searches it as well
        (`retrieval/...`, see `t5rank.train.retrieval`).
      eval_retrieval_measures: those figures, names of ir_measures.
      eval_batch_tokens: tokens scored at once in validation; what suits the device by default.
      checkpoint_period: save every so many steps; the end and a new best are saved besides.
      keep_checkpoints: how many of the latest checkpoints stay.
      best_metric: which validation metric says what checkpoint is best; "-" before it if it falls.
      early_stopping_patience: stop after so many validations without a new best; None never does.
      layout: how lists are laid out, a function of `t5rank.train.layouts`.
      model_parallel: devices that share one copy of the parameters.
      parameter_partitioning_dims: 2 splits parameters and optimizer state over the data-parallel
        devices as well; see `partitioning.logical_axis_rules`.
      random_seed: of initialization, data order, sampling and dropout.
      use_cached_tasks: read the output of seqio_cache_tasks.
      log_period: report every so many steps.
      assignment_map: which of the initial checkpoint's parameters go where, and which start from
        scratch; see `checkpoints.restoring`.
      resume_with_changes: go on in a folder that was trained with other data or settings; see
        `t5rank.train.settings`.
      gin_settings: what was set in gin, where the trainer was made by it.
      gin_text: the whole configuration in use, for `config.gin`.
    """

    model: RankingModel
    model_dir: str
    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, Sequence[int]] = dataclasses.field(
        default_factory=feature_lengths
    )
    batch_size: int = 16
    train_steps: int = 1000
    learning_rate_fn: Callable[[Any], Any] = dataclasses.field(
        default_factory=lambda: schedules.constant(1e-4)
    )
    optimizer_def: Any = dataclasses.field(default_factory=optimizers.adafactor)
    initial_checkpoint_path: str | None = None
    eval_mixture_or_task_name: str | None = None
    eval_split: str = "validation"
    eval_period: int = 1000
    eval_queries: int | None = None
    eval_topn: int | None = None
    eval_qrels: str | None = None
    eval_measures: str = DEFAULT_MEASURES
    eval_collection: str | None = None
    eval_retrieval_measures: str = retrieval.MEASURES
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
    resume_with_changes: bool = False
    gin_settings: Mapping[str, str] | None = None
    gin_text: str | None = None

    def __post_init__(self) -> None:
        self._check_settings()
        self.mesh = partitioning.make_mesh(self.model_parallel)
        self.axis_rules = partitioning.logical_axis_rules(self.parameter_partitioning_dims)
        self.groups = partitioning.data_parallelism(self.mesh) * self.model.num_microbatches
        if self.batch_size % self.groups:
            raise ValueError(
                f"BATCH_SIZE has {self.batch_size} lists; expected a multiple of {self.groups}, "
                "the data-parallel devices times the microbatches."
            )
        vocabulary_file, prompt = registry.text_settings(self.mixture_or_task_name)
        length = input_length(self.task_feature_lengths)
        self.encoder = make_encoder(Vocabulary(vocabulary_file), prompt, length)
        self._check_input_length()
        self.encoder.vocabulary.check_rows(self.model.module.config.vocab_size)
        self.eval_task = self.eval_mixture_or_task_name or self.mixture_or_task_name
        self.scorer = ModelScorer(self.model, None, self.eval_batch_tokens, self.mesh)
        self.validation = self._validation() if self.eval_period else None

    def _check_settings(self) -> None:
        at_least = dict.fromkeys(("eval_period", "random_seed"), 0)
        for name in _INTEGERS:
            check_integer(name.upper(), getattr(self, name), at_least.get(name, 1))
        for name in _INTEGERS_OR_NONE:
            check_integer(name.upper(), getattr(self, name), optional=True)
        for name in ("model_dir", "mixture_or_task_name", "eval_split", "best_metric"):
            check_text(name.upper(), getattr(self, name))
        for name in ("initial_checkpoint_path", "eval_mixture_or_task_name", "eval_qrels"):
            check_text(name.upper(), getattr(self, name), optional=True)
        check_text("EVAL_COLLECTION", self.eval_collection, optional=True)
        for name in ("eval_measures", "eval_retrieval_measures"):
            check_text(name.upper(), getattr(self, name))
        check_boolean("USE_CACHED_TASKS", self.use_cached_tasks)
        check_lengths(self.task_feature_lengths)
        if not self.model.sees_other_lists:
            preflight.check_teaches(self.model.loss_fn, list_size(self.task_feature_lengths))

    def _check_input_length(self) -> None:
        needed = self.encoder.shortest
        if self.encoder.max_length < needed:
            raise ValueError(
                f"INPUT_LENGTH has {self.encoder.max_length} tokens; expected at least {needed}: "
                f"the prompt {written_form(self.encoder)['prompt']!r} and the text take so many."
            )

    def _validation(self) -> Validation:
        if registry.text_settings(self.eval_task) != registry.text_settings(
            self.mixture_or_task_name
        ):
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
            None
            if self.eval_collection is None
            else retrieval.CollectionRetrieval(
                self.eval_collection, self.encoder, self.eval_retrieval_measures
            ),
        )
        if self.best_metric.removeprefix("-") not in validation.names():
            raise ValueError(
                f"BEST_METRIC has '{self.best_metric}'; expected one of {validation.names()}. "
                "Those of 'run/' need qrels: the split's own, or EVAL_QRELS. Those of 'retrieval/' "
                "need EVAL_COLLECTION, too."
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
        found = {task: registry.split_files(task)[self.eval_split].get("qrels") for task in tasks}
        return {task: file for task, file in found.items() if file is not None}

    def train(self) -> TrainResult:
        """Trains to `train_steps` and returns how it ended.

        Raises:
          TrainingDivergedError: the loss is not finite.
          ValueError: the data or the initial checkpoint are wrong, or the folder was trained with
            something else (see `resume_with_changes`).
          RuntimeError: another process trains in the folder.
          OSError: the folder cannot be written.
        """
        preflight.check_run(self)
        folder, now = path(self.model_dir), settings.written_form(self)
        with contextlib.ExitStack() as stack:
            with _writing(folder):
                stack.enter_context(locked(folder))
                record = resuming.begin(self, folder, now)
                saver = stack.enter_context(
                    Checkpointer(folder, self.keep_checkpoints, model_folder.best_step(folder))
                )
                reporter = stack.enter_context(
                    Reporter(folder, self.train_steps, self.peak_operations())
                )
            interrupt = stack.enter_context(Interrupt())
            optimizer = self._initial_optimizer(saver)
            step, size = int(optimizer.state.step), partitioning.count_parameters(optimizer.target)
            logged = records.read_records(folder, until=step)
            reporter.start(step, size, logged)
            best = self.best_so_far(logged, record["validated_since"])
            validated = records.is_validated(logged, step)
            return TrainingRun(self, optimizer, saver, reporter, interrupt, best, validated).run()

    def best_so_far(
        self, logged: Sequence[records.Record], since: int = 0
    ) -> dict[str, Any] | None:
        """The best checkpoint by this run's metric, which need not be that of the runs before it.

        A crash may have come between a best checkpoint and its name on disk: the records know it.

        Args:
          logged: the records.
          since: the step up to which validations were on other lists, and do not count.
        """
        best = model_folder.load_best(self.model_dir)
        if best is not None and (best["metric"] != self.best_metric or best["step"] <= since):
            best = None
        steps = [step for step in checkpoints.steps(self.model_dir) if step > since]
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
            return optimizers.create(self.optimizer_def, params, axes)

        shapes = jax.eval_shape(create, {})
        logical = self.optimizer_def.derive_logical_axes(shapes, axes)
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


@contextlib.contextmanager
def _writing(folder: epath.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"Model folder '{folder}' cannot be written: {error.strerror or error}. "
            "Choose another MODEL_DIR, or make room."
        ) from error


def _with_sharding(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
