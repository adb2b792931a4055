import subprocess
import sys

import pytest

from t5rank.process import huge_pages

ASKED = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """Sets the kernel's rule on a machine that has glibc and no tunables."""
    file = tmp_path / "enabled"
    monkeypatch.setattr(huge_pages, "_KERNEL", file)
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return file.write_text


def test_huge_pages_are_asked_for_where_asking_matters(kernel, monkeypatch):
    assert huge_pages.environment() == {}  # no such file
    for rule, expected in {
        "always [madvise] never": ASKED,
        "[always] madvise never": {},
        "always madvise [never]": {},
    }.items():
        kernel(rule)
        assert huge_pages.environment() == expected
    kernel("always [madvise] never")
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("", ""))
    assert huge_pages.environment() == {}


def test_tunables_that_are_set_stay(kernel, monkeypatch):
    kernel("always [madvise] never")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    expected = "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
    assert huge_pages.environment() == {"GLIBC_TUNABLES": expected}
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert huge_pages.environment() == {}


PROGRAM = """
import os, sys
from t5rank.process import huge_pages
huge_pages.environment = lambda: {} if "STARTED" in os.environ else {"STARTED": "again"}
print(sys.argv[1:], os.environ.get("STARTED"))
huge_pages.use_huge_pages()
print("goes on")
"""


def test_a_program_starts_once_more_with_its_arguments():
    command = [sys.executable, "-c", PROGRAM, "one", "two words"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["['one', 'two words'] None", "['one', 'two words'] again", "goes on"]


def test_t5rank_train_asks_for_them(monkeypatch):
    from t5rank import __main__ as program

    calls = []
    monkeypatch.setattr(program, "use_huge_pages", lambda: calls.append("asked"))
    monkeypatch.setattr(program, "_command", lambda: 0)
    monkeypatch.setattr(program, "end_on_signals", lambda: None)
    monkeypatch.setattr(program, "leave", sys.exit)
    for command in (["evaluate"], []):
        monkeypatch.setattr(sys, "argv", ["t5rank", *command])
        assert program.main() == 0
    assert not calls
    monkeypatch.setattr(sys, "argv", ["t5rank", "train", "--gin_file", "x"])
    with pytest.raises(SystemExit) as left:
        program.main()
    assert left.value.code == 0 and calls == ["asked"]
