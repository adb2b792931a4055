"""Scoring with ONNX Runtime, on CPUs and other devices (`pip install 't5rank[onnx]'`).

`export` writes a folder with the scoring graph in float32 or int8, which `Reranker` loads.
"""
