"""The task of Rax's T5X example, registered by importing this module, as its gin file does.

MS MARCO QnA v2.1 is read from the folder T5RANK_QNA_DIR (`train_v2.1.json.gz`, `dev_v2.1.json.gz`)
with the vocabulary T5RANK_VOCABULARY_FILE.
"""

import os

from t5rank.tasks.msmarco import qna_task

NAME = "msmarco_qna21_ranking"
_SETTINGS = ("T5RANK_QNA_DIR", "T5RANK_VOCABULARY_FILE")

for _setting in _SETTINGS:
    if not os.environ.get(_setting):
        raise ValueError(
            f"Environment variable '{_setting}' is not set; task '{NAME}' needs {_SETTINGS}."
        )
qna_task(*(os.environ[setting] for setting in _SETTINGS), name=NAME)
