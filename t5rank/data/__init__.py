"""Readers of lists, collections, queries, judgements and runs."""
