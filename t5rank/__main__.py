"""The program `t5rank`."""

import sys

from t5rank import cli
from t5rank.huge_pages import use_huge_pages


def main() -> int:
    """Runs the command line; returns the exit status."""
    if sys.argv[1:2] == ["train"]:
        use_huge_pages()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
