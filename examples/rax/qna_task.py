"""The task of Rax's T5X example, registered by importing this module, as its gin file does.

MS MARCO QnA v2.1 is read from the folder T5RANK_QNA_DIR (`train_v2.1.json.gz`, `dev_v2.1.json.gz`)
with the vocabulary T5RANK_VOCABULARY_FILE. Without these environment variables there is no task,
and a warning says so.
"""

import logging
import os

from t5rank.tasks.msmarco import qna_task

NAME = "msmarco_qna21_ranking"
_SETTINGS = ("T5RANK_QNA_DIR", "T5RANK_VOCABULARY_FILE")
_missing = [setting for setting in _SETTINGS if not os.environ.get(setting)]

if _missing:
    logging.getLogger(__name__).warning(
        "Task '%s' is not registered: the environment variable %s is not set.", NAME, _missing[0]
    )
else:
    qna_task(*(os.environ[setting] for setting in _SETTINGS), name=NAME)
