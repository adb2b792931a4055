"""Gin: every file is parsed, every recipe is built, and one of each kind trains one step."""

import ast
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from t5rank import model_folder
from t5rank.data import trec
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.train import config
from t5rank.train.loop import Trainer

ROOT = Path(__file__).parents[2]
RECIPES = sorted(p.stem for p in (ROOT / "gin/recipes").glob("*.gin"))
# One step of a T5-large on a laptop: the architecture shrinks, all else stays as the recipe says.
SHRUNK = [
    "network.T5Config.emb_dim=16",
    "network.T5Config.num_heads=2",
    "network.T5Config.head_dim=8",
    "network.T5Config.mlp_dim=32",
    "network.T5Config.num_encoder_layers=1",
    "network.T5Config.num_decoder_layers=1",
    "VOCAB_SIZE=1152",
    "BATCH_SIZE=2",
    "LIST_SIZE=3",
    "INPUT_LENGTH=48",
    "TRAIN_STEPS=1",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The files that the recipes' SPLITS name, with a few lists."""
    folder = tmp_path_factory.mktemp("files")
    texts = {f"d{i}": f"document number {i} is a list of words" for i in range(6)}
    trec.write_queries(folder / "collection.tsv", texts)
    trec.write_queries(folder / "queries.tsv", {"q1": "number 1", "q2": "number 2"})
    trec.write_qrels(folder / "qrels.txt", {"q1": {"d1": 1}, "q2": {"d2": 1}})
    trec.write_run(folder / "run.txt", {q: {f"d{i}": -i for i in range(5)} for q in ("q1", "q2")})
    lists = [
        RankedList(f"q{i}", f"number {i}", tuple(texts), tuple(texts.values()), (0, 1, 0, 0, 0, 0))
        for i in range(3)
    ]
    write_jsonl(folder / "lists.jsonl", lists)
    rows = [
        json.dumps(
            {
                "query_id": i,
                "query": "number 1",
                "passages": {
                    "is_selected": [0, 1],
                    "passage_text": ["document 0", "document 1"],
                    "url": ["", ""],
                },
            }
        )
        for i in range(3)
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def splits(recipe: str) -> list[str]:
    if "qna" in recipe:
        return ["SPLITS={'train': 'rows.jsonl', 'validation': 'rows.jsonl'}"]
    names = {"collection": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.txt"}
    names["run"] = "run.txt"
    return [f"SPLITS={ {'train': names, 'validation': names} }"]


def trainer_of(recipe, files, vocabulary_file, tmp_path, *more) -> Trainer:
    bindings = [
        *SHRUNK,
        f"MODEL_DIR={tmp_path / 'model'}",
        f"DATA_DIR={files}",
        f"VOCABULARY_FILE={vocabulary_file}",
        *splits(recipe),
        "INITIAL_CHECKPOINT_PATH=None",
        *more,
    ]
    return config.configured_trainer([f"t5rank/configs/recipes/{recipe}.gin"], bindings)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_built(recipe, files, vocabulary_file, tmp_path):
    trainer = trainer_of(recipe, files, vocabulary_file, tmp_path)
    assert trainer.validation is not None
    losses = {"softmax": "softmax_loss", "sigmoid": "sigmoid_loss", "mono": "log_probability_loss"}
    losses["retrieval"] = "softmax_loss"
    assert trainer.model.loss_fn.__name__ in [
        name for kind, name in losses.items() if kind in recipe
    ]
    assert jax.eval_shape(trainer._variables)["params"]


# One of each task, head, optimizer and version of T5; what else recipes differ in is numbers.
@pytest.mark.parametrize(
    "recipe",
    [
        "monot5_tiny",
        "msmarco_passage_sigmoid",
        "msmarco_passage_softmax_tiny",
        "msmarco_qna_sigmoid_tiny",
        "msmarco_retrieval_tiny",
    ],
)
def test_a_recipe_trains_one_step(recipe, files, vocabulary_file, tmp_path):
    trainer = trainer_of(recipe, files, vocabulary_file, tmp_path)
    if not recipe.endswith("_tiny"):  # what validates is that of the tiny one
        trainer.validation = None
    assert trainer.train().step == 1


def test_pairs_train_a_dual_encoder(files, vocabulary_file, tmp_path):
    """A list of one document has the others of its batch as negatives."""
    more = ("LIST_SIZE=1", "TRAIN_STEPS=2", "EVAL_PERIOD=0")
    trainer = trainer_of("msmarco_retrieval_tiny", files, vocabulary_file, tmp_path, *more)
    assert trainer.train().step == 2
    with pytest.raises(ValueError, match="LIST_SIZE has 1; expected at least 2"):
        trainer_of(
            "msmarco_retrieval_tiny", files, vocabulary_file, tmp_path, *more, "CANDIDATES='list'"
        )


def test_a_loss_without_settings_is_chosen_by_its_name(files, vocabulary_file, tmp_path):
    loss = "LOSS_FN=@losses.pairwise_hinge_loss"
    trainer = trainer_of("msmarco_qna_softmax_tiny", files, vocabulary_file, tmp_path, loss)
    assert trainer.model.loss_fn.__name__ == "pairwise_hinge_loss"


@pytest.mark.parametrize("head", ["rankt5", "monot5", "rankt5_encoder"])
def test_every_head_builds_with_a_size(head, files, tmp_path, vocabulary_file):
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(
        f"include 't5rank/configs/models/t5_1_1_tiny.gin'\n"
        f"include 't5rank/configs/models/{head}.gin'\n"
        "include 't5rank/configs/tasks/jsonl.gin'\n"
        "LEARNING_RATE = 1e-3\nINITIAL_CHECKPOINT_PATH = None\n"
        "LOSS_FN = @losses.softmax_loss\n"
        "SPLITS = {'train': 'lists.jsonl', 'validation': 'lists.jsonl'}\n"
    )
    bindings = [*SHRUNK, f"MODEL_DIR={tmp_path / 'm'}", f"DATA_DIR={files}"]
    bindings += [f"VOCABULARY_FILE={vocabulary_file}"]
    if head == "monot5":
        bindings += ["monot5.monot5_head.true='list'", "monot5.monot5_head.false='int'"]
    trainer = config.configured_trainer([str(recipe)], bindings)
    assert jax.eval_shape(trainer._variables)["params"]
    if head == "rankt5_encoder":  # no recipe has it
        assert trainer.train().step == 1


def test_a_mixture_of_tasks_trains_and_validates_task_by_task(files, tmp_path, vocabulary_file):
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(
        "include 't5rank/configs/recipes/msmarco_qna_softmax_tiny.gin'\n"
        "include 't5rank/configs/tasks/mixture.gin'\n"
        "from __gin__ import dynamic_registration\n"
        "from t5rank.tasks import msmarco\n"
        "TASKS = [@web/msmarco.qna_task(), @support/msmarco.qna_task()]\n"
        "RATES = [3.0, 1.0]\n"
        "web/msmarco.qna_task.name = 'web'\n"
        "support/msmarco.qna_task.name = 'support'\n"
    )
    bindings = [*SHRUNK, f"MODEL_DIR={tmp_path / 'm'}", f"DATA_DIR={files}", *splits("qna")]
    bindings += [f"VOCABULARY_FILE={vocabulary_file}", "BEST_METRIC=support/mrr@10"]
    trainer = config.configured_trainer([str(recipe)], bindings)
    metrics = trainer.train().metrics
    assert metrics["lists"] == metrics["web/lists"] + metrics["support/lists"]
    assert model_folder.load_best(trainer.model_dir)["metric"] == "support/mrr@10"


@pytest.mark.parametrize("folder", ["models", "losses", "tasks", "runs"])
def test_every_file_says_what_it_is(folder):
    for file in (ROOT / "gin" / folder).glob("*.gin"):
        assert file.read_text().startswith("# "), file
        if folder != "runs":
            assert "# Provides:" in file.read_text(), file


def test_the_learning_rate_macro_reaches_the_optimizer(files, vocabulary_file, tmp_path):
    """Rax's example loses its LEARNING_RATE without a word; the recipe's own is not 0."""
    more = ["LEARNING_RATE=0.0", "EVAL_PERIOD=0"]
    trainer = trainer_of("msmarco_qna_softmax", files, vocabulary_file, tmp_path, *more)
    before = jax.device_get(jax.jit(trainer._variables)()["params"])
    trainer.train()
    after = model_folder.open_folder(trainer.model_dir, 1).params()
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_a_macro_that_binds_nothing_is_an_error(files, vocabulary_file, tmp_path):
    with pytest.raises(ValueError, match="Macro 'LEARNING_RAET' has no effect"):
        trainer_of(RECIPES[0], files, vocabulary_file, tmp_path, "LEARNING_RAET=1.0")


def test_a_macro_used_only_by_what_is_not_used_is_an_error(files, vocabulary_file, tmp_path):
    more = ["DECAY=10", "schedules.linear.total_steps=%DECAY"]
    with pytest.raises(ValueError, match="Macro 'DECAY' has no effect"):
        trainer_of("msmarco_qna_softmax", files, vocabulary_file, tmp_path, *more)


@pytest.mark.parametrize(
    ("binding", "in_use"),
    [
        ("optimizers.adamw.b1=0.5", "adafactor"),
        ("optax.lion.b1=0.5", ""),
        ("schedules.linear.warmup_steps=7", "constant"),
        ("losses.mixture.weights=[1.0]", "softmax_loss"),
        ("layouts.padded.start=3", "packed"),
    ],
)
def test_a_binding_that_nothing_reads_is_an_error(
    binding, in_use, files, vocabulary_file, tmp_path
):
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(
        "include 't5rank/configs/recipes/msmarco_qna_softmax.gin'\n"
        "from __gin__ import dynamic_registration\n"
        "import optax\n"
        "from t5rank.train import layouts\n"
        "from t5rank import losses\n"
        "from t5rank.train import optimizers\n"
        "from t5rank.train import schedules\n"
        f"{binding}\n"
    )
    name = binding.partition("=")[0]
    with pytest.raises(ValueError) as error:
        gin_trainer([str(recipe)], files, vocabulary_file, tmp_path)
    assert f"Binding '{name}' in file '{recipe}', line 8 has no effect" in str(error.value)
    assert in_use in str(error.value).partition("what is in use: ")[2]


def test_a_binding_of_an_option_that_nothing_reads_is_an_error(files, vocabulary_file, tmp_path):
    options = ["schedules.linear.warmup_steps=7"]
    with pytest.raises(
        ValueError, match=r"in option --gin\.schedules\.linear\.warmup_steps has no"
    ):
        trainer_of("msmarco_qna_softmax", files, vocabulary_file, tmp_path, *options)


def test_a_binding_of_what_is_in_use_is_none(files, vocabulary_file, tmp_path):
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(
        "include 't5rank/configs/recipes/msmarco_qna_softmax.gin'\n"
        "from __gin__ import dynamic_registration\n"
        "from t5rank.train import layouts\n"
        "from t5rank import losses\n"
        "from t5rank.train import optimizers\n"
        "LOSS_FN = @other/losses.softmax_loss\n"
        "OPTIMIZER = @optimizers.adamw()\n"
        "optimizers.adamw.b1 = 0.5\n"
        "other/losses.softmax_loss.virtual_label = 1.0\n"
        "layouts.packed.row_length = 512\n"
    )
    assert gin_trainer([str(recipe)], files, vocabulary_file, tmp_path).train_steps == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("OPTIMIZER = %NOPE", r"Macro 'NOPE' \(file '.*recipe\.gin', line 3\) has no value"),
        (
            "import nomodule",
            r"error in file '.*recipe\.gin', line 3: No module named 'nomodule'\.$",
        ),
        ("x.y.z = 1", r"error in file '.*recipe\.gin', line 3: 'x' was not provided by an import"),
        ("BATCH_SIZE = 2.0", "^BATCH_SIZE has 2.0; expected an integer of at least 1"),
        ("MODEL_DIR = 5", "^MODEL_DIR has 5; expected a path in quotes"),
    ],
)
def test_an_error_of_a_recipe_is_one_sentence(line, message, files, vocabulary_file, tmp_path):
    recipe = tmp_path / "recipe.gin"
    start = "include 't5rank/configs/recipes/msmarco_qna_softmax.gin'\n"
    recipe.write_text(f"{start}from __gin__ import dynamic_registration\n{line}\n")
    name = line.partition(" ")[0]
    with pytest.raises(ValueError, match=message) as error:
        gin_trainer([str(recipe)], files, vocabulary_file, tmp_path, without=name)
    assert "\n" not in str(error.value)


def gin_trainer(recipes, files, vocabulary_file, tmp_path, without="") -> Trainer:
    bindings = [
        *SHRUNK,
        f"MODEL_DIR={tmp_path / 'model'}",
        f"DATA_DIR={files}",
        f"VOCABULARY_FILE={vocabulary_file}",
        *splits("qna"),
        "INITIAL_CHECKPOINT_PATH=None",
    ]
    bindings = [b for b in bindings if b.partition("=")[0] != without]
    return config.configured_trainer(recipes, bindings)


def test_a_number_is_taken_as_the_path_that_was_written():
    assert config.quoted("MODEL_DIR=1e5") == "MODEL_DIR='1e5'"
    assert config.quoted("BATCH_SIZE=5") == "BATCH_SIZE=5"


def test_a_missing_value_is_an_error_that_names_it(files, vocabulary_file, tmp_path):
    with pytest.raises(ValueError, match="LEARNING_RATE"):
        trainer_of(RECIPES[0], files, vocabulary_file, tmp_path, "LEARNING_RATE=%gin.REQUIRED")


def test_a_file_that_does_not_exist_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.gin"):
        config.configured_trainer(["nowhere.gin"], [f"MODEL_DIR={tmp_path}"])


def test_the_operative_configuration_is_saved_and_an_earlier_one_kept(
    files, vocabulary_file, tmp_path
):
    def train(*more):
        bindings = ["EVAL_PERIOD=0", *more]
        trainer_of("msmarco_qna_softmax", files, vocabulary_file, tmp_path, *bindings).train()

    train()
    with pytest.raises(ValueError, match="otherwise: BATCH_SIZE was 2 and is 4; expected the same"):
        train("BATCH_SIZE=4")
    train("BATCH_SIZE=4", "RESUME_WITH_CHANGES=True", "LOG_PERIOD=7")
    values = {
        file.name: ast.literal_eval(re.search(r"^BATCH_SIZE = (\d+)", file.read_text(), re.M)[1])
        for file in (tmp_path / "model").glob("*.gin")
    }
    assert values == {"config.1.gin": 2, "config.gin": 4}
