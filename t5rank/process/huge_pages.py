"""Memory in huge pages, for training on CPUs."""

import os
import platform
import sys
from pathlib import Path

_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_VARIABLE = "GLIBC_TUNABLES"
_TUNABLE = "glibc.malloc.hugetlb"


def use_huge_pages() -> None:
    """Starts this program once more where that gets it memory in huge pages.

    The gigabytes of a training step come from the kernel anew in each step, which in pages of 4 KiB
    takes an eighth of the step (docs/pages/results). glibc asks for pages of 2 MiB where
    `GLIBC_TUNABLES` said so at the program's start; a value of `glibc.malloc.hugetlb` that is there
    already stays.
    """
    missing = environment()
    if missing:
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, os.environ | missing)


def environment() -> dict[str, str]:
    """What a program's environment lacks to have huge pages; nothing where it cannot matter."""
    tunables = os.environ.get(_VARIABLE, "")
    if _TUNABLE in tunables or platform.libc_ver()[0] != "glibc" or not _given_to_who_asks():
        return {}
    return {_VARIABLE: ":".join(filter(None, [tunables, f"{_TUNABLE}=1"]))}


def _given_to_who_asks() -> bool:
    """Whether that is the kernel's rule, and not to give them to all or to none."""
    try:
        return "[madvise]" in _KERNEL.read_text()
    except OSError:
        return False
