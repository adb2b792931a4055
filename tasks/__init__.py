"""seqio tasks of ranked lists, registered by functions that gin calls.

`jsonl` has the task of your own lists, `msmarco` those of MS MARCO, `mixtures` joins tasks;
`registry` is what they share.
"""

from t5rank.process.packages import check_installed

check_installed("train")
