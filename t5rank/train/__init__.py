"""Our trainer: the recipes of `t5rank/configs/recipes`, without T5X."""

from t5rank.process.packages import check_installed

check_installed("train")
