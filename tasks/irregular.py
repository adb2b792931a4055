"""What was repaired, or is blank, in the data of tasks, as far as they were read."""

import logging
from collections import Counter

import seqio

from t5rank.data.ranked_list import irregular

_irregular: dict[str, Counter[str]] = {}  # by task and split
_cut: dict[str, set[str]] = {}  # queries by task
_log = logging.getLogger(__name__)


def found_in(task: str) -> dict[str, int]:
    """What was repaired, or is blank, in the data of a task as far as they were read.

    The names are those of `t5rank.data.ranked_list`. A list that is read again, in another epoch,
    counts once, and so does a query that is cut; a list of two splits counts twice.
    """
    total: Counter[str] = Counter()
    for split in seqio.get_mixture_or_task(task).splits:
        total.update(_irregular.get(f"{task}/{split}", {}))
    total["queries_cut"] += len(_cut.get(task, ()))
    return irregular(total)


def forget(task: str) -> None:
    """Forgets what was noted under the name of a task that is registered anew."""
    _cut.pop(task, None)
    for source in [source for source in _irregular if source.rpartition("/")[0] == task]:
        del _irregular[source]


def note(source: str, counts: Counter[str]) -> None:
    """Keeps the largest counts of all readings of a task's split; says at once what is new."""
    known = _irregular.setdefault(source, Counter())
    found = irregular(counts)
    for kind in found.keys() - known.keys():
        _log.warning(
            "Data of '%s' have %s: counted, at the end in all.", source, kind.replace("_", " ")
        )
    known |= Counter(found)
    _irregular[source] = known


def note_cut(task: str, query_id: str) -> None:
    """Keeps that a query of a task is cut; says so of the first one."""
    cut = _cut.setdefault(task, set())
    if not cut:
        _log.warning("Query '%s' of '%s' is cut: it leaves no room.", query_id, task)
    cut.add(query_id)
