"""Texts and their tokens: what a model reads, and where it is cut."""
