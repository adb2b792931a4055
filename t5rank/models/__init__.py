"""T5 in Flax, score heads, and the model that T5X and our trainer drive. JAX and Flax only."""
