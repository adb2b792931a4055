"""`python -m t5rank`."""

import sys

from t5rank.cli import main

sys.exit(main())
