"""Readers of judged lists: MS MARCO QnA, passage ranking, and JSON lines."""
