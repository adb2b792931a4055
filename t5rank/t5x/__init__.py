"""What T5X's own commands plug in."""

from t5rank.process.packages import check_installed

check_installed("train")
