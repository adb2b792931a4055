"""What macros may have, and that every macro of our files is looked at."""

from pathlib import Path

import gin
import pytest

from t5rank.train import gin_files, macros

ROOT = Path(__file__).parents[2]
UNCHECKED = {"HEAD", "MODULE", "TASKS", "LOSSES"}  # references, which those who take them check
T5X_ALONE = {"CHECKPOINT_PATH", "EVAL_OUTPUT_DIR", "EVAL_SPLIT", "INFER_OUTPUT_DIR", "INFER_SPLIT"}
T5X_ALONE |= {"MODE", "NUM_SHARDS", "SHARD_ID"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LIST_SIZE = 0", "LIST_SIZE has 0; expected an integer of at least 1"),
        ("LIST_SIZE = None", "LIST_SIZE has None; expected an integer"),
        ("BATCH_SIZE = -4", "BATCH_SIZE has -4; expected an integer"),
        ("BATCH_SIZE = True", "BATCH_SIZE has True; expected an integer"),
        ("TRAIN_STEPS = 10.5", "TRAIN_STEPS has 10.5; expected an integer"),
        ("TRAIN_STEPS = '10'", "TRAIN_STEPS has '10'; expected an integer"),
        ("LEARNING_RATE = -0.1", "LEARNING_RATE has -0.1; expected a finite number of at least 0"),
        ("LEARNING_RATE = 1e999", "LEARNING_RATE has inf; expected a finite number"),
        ("LEARNING_RATE = '1e-3'", "LEARNING_RATE has '1e-3'; expected a finite number"),
        ("DROPOUT_RATE = 1.0", "expected a finite number of at least 0 and below 1"),
        ("EVAL_PERIOD = -1", "EVAL_PERIOD has -1; expected an integer of at least 0"),
        ("EVAL_QUERIES = 0", "EVAL_QUERIES has 0; expected None or an integer of at least 1"),
        ("ONE_POSITIVE = 1", "ONE_POSITIVE has 1; expected True or False"),
        ("LABELLED = 'False'", "LABELLED has 'False'; expected True or False"),
        ("LABEL = 'labels'", "LABEL has 'labels'; expected one of 'label', 'teacher_score'"),
        ("PARAMETER_PARTITIONING_DIMS = True", "has True; expected one of 1, 2"),
        ("MODEL_DIR = 5", "MODEL_DIR has 5; expected a path in quotes"),
        ("DATA_DIR = True", "DATA_DIR has True; expected a path in quotes"),
        ("VOCABULARY_FILE = ''", "VOCABULARY_FILE has ''; expected a path"),
        ("MODEL_DIR = 'a\\0b'", "expected a path"),
        ("SPLITS = 'train.jsonl'", "SPLITS has 'train.jsonl'; expected split to files"),
        ("SPLITS = {'train': 5}", "SPLITS 'train' has 5; expected a file's name in quotes"),
        ("RATES = [1.0, -1.0]", "RATES has -1.0; expected a finite number above 0"),
        ("RANDOM_SEED = 5000000000", "RANDOM_SEED has 5000000000; expected at most"),
        ("ASSIGNMENT_MAP = [('(', None)]", "ASSIGNMENT_MAP has the pattern '\\(', which does not"),
        ("ASSIGNMENT_MAP = ['target']", "expected pairs of a regular expression"),
        ("TRUE_TOKEN = None", "TRUE_TOKEN has None; expected a word or a token's id"),
        ("FALSE_TOKEN = -1", "FALSE_TOKEN has -1; expected an integer of at least 0"),
        ("LOSS_FN = 'softmax'", "LOSS_FN has 'softmax'; expected a loss, LOSS_FN = @losses"),
        ("A = %B\nB = %A", "refers to itself"),
        ("N = 0\nLIST_SIZE = %N", "LIST_SIZE has 0; expected an integer"),
    ],
)
def test_a_value_without_a_meaning_is_named_with_what_was_expected(line, message):
    gin.parse_config(line)
    with pytest.raises((TypeError, ValueError), match=message):
        macros.check_macros()


@pytest.mark.parametrize(
    "line",
    [
        "LEARNING_RATE = 0",
        "LEARNING_RATE = 1",
        "WARMUP_STEPS = 0",
        "EVAL_PERIOD = 0",
        "TOPN = None",
        "INITIAL_CHECKPOINT_PATH = None",
        "INITIAL_CHECKPOINT_PATH = ()",
        "SPLITS = {'train': {'collection': 'c', 'queries': 'q', 'qrels': None, 'run': 'r'}}",
    ],
)
def test_a_value_with_a_meaning_passes(line):
    gin.parse_config(line)
    macros.check_macros()


def test_every_macro_of_our_files_is_checked():
    found = {
        binding.name
        for file in ROOT.glob("gin/*/*.gin")
        for binding in gin_files.bindings_of([f"t5rank/configs/{file.relative_to(ROOT / 'gin')}"])
        if not binding.parameter
    }
    assert found - {*macros.CHECKS, *macros._FUNCTIONS} == UNCHECKED | T5X_ALONE
