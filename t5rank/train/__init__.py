"""Our trainer: the recipes of `t5rank/configs/recipes`, without T5X."""
