"""The cores that this process may use."""

import os


def core_count() -> int:
    """How many; fewer than the machine has where the process is kept to some of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
