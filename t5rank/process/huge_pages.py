"""Memory in huge pages, for training on CPUs."""

import os
import platform
import sys
from pathlib import Path

_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_VARIABLE = "GLIBC_TUNABLES"
_TUNABLE = "glibc.malloc.hugetlb"


def use_huge_pages() -> None:
    """Restarts this program if that gets it memory in huge pages.

    Every training step gets gigabytes from the kernel anew. In pages of 4 KiB this takes an eighth
    of the step (docs/pages/results). glibc asks for pages of 2 MiB if `GLIBC_TUNABLES` said so when
    the program started. A value of `glibc.malloc.hugetlb` that the user has set stays.
    """
    missing = environment()
    if missing:
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, os.environ | missing)


def environment() -> dict[str, str]:
    """The variables that a program needs for huge pages; none if they would change nothing."""
    tunables = os.environ.get(_VARIABLE, "")
    if _TUNABLE in tunables or platform.libc_ver()[0] != "glibc" or not _given_on_request():
        return {}
    return {_VARIABLE: ":".join(filter(None, [tunables, f"{_TUNABLE}=1"]))}


def _given_on_request() -> bool:
    """Whether the kernel gives huge pages to those who ask, not to all programs or to none."""
    try:
        return "[madvise]" in _KERNEL.read_text()
    except OSError:
        return False
