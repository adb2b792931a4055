"""LightGBM's lambdarank, with the splits and the NDCG of the networks."""

import numpy as np
from feature_rows import FeatureRows
from training import TOPN, ndcg_of_rows, split_queries

PARAMETERS = {
    "objective": "lambdarank",
    "metric": "None",  # ours, below
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 500
PATIENCE = 50


def predict(train: FeatureRows, test: FeatureRows, seed: int) -> tuple[np.ndarray, float]:
    """Scores of the test documents, and NDCG on the validation queries."""
    import lightgbm

    parts = [train.select(queries) for queries in split_queries(len(train.query_ids), seed)]
    fit, held_out = (
        lightgbm.Dataset(part.features, part.labels, group=part.group_sizes) for part in parts
    )

    def validation_ndcg(scores: np.ndarray, _: object) -> tuple[str, float, bool]:
        return f"ndcg@{TOPN}", float(ndcg_of_rows(scores, parts[1]).mean()), True

    booster = lightgbm.train(
        PARAMETERS | {"seed": seed},
        fit,
        num_boost_round=ROUNDS,
        valid_sets=[held_out],
        feval=validation_ndcg,
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return booster.predict(test.features), booster.best_score["valid_0"][f"ndcg@{TOPN}"]
