"""The program `t5rank`."""

import sys
import traceback

from t5rank.process.huge_pages import use_huge_pages
from t5rank.process.leaving import end_on_signals, leave

_TRAINING = (["train"], ["quickstart"])


def main() -> int:
    """Runs the command line; returns the exit status."""
    if sys.argv[1:2] not in _TRAINING:
        return _command()
    if sys.argv[1] == "train":
        use_huge_pages()
    end_on_signals()
    try:
        status = _command()
    except Exception:
        traceback.print_exc()
        status = 1
    leave(status)


def _command() -> int:
    from t5rank import cli  # takes a while, in which a signal has to count

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
