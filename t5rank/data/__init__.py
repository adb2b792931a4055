"""Readers of judged lists: MS MARCO QnA, passage ranking, JSON lines, and libsvm's features."""
