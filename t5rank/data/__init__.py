"""Readers of judged lists: MS MARCO QnA, passage ranking, and t5rank's own JSON lines."""
