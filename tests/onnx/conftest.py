"""Skips these tests without ONNX Runtime; puts the tests' own models on the path."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parent))
