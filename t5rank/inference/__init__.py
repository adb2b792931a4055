"""Scores of a trained model: batches, compiled programs, the runner, `Reranker`."""
