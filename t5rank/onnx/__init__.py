"""Scoring with ONNX Runtime, on CPUs and wherever it runs (`pip install 't5rank[onnx]'`).

`export` writes a folder with the scoring graph, in float32 or int8, that `Reranker` loads.
"""
