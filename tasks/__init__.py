"""seqio tasks of ranked lists, registered by functions that gin calls.

`t5rank.tasks.msmarco` has MS MARCO's tasks, `t5rank.tasks.lists` the task of our own JSON lines and
what all share.
"""

from t5rank.process.packages import check_installed

check_installed("train")
