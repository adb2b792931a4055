import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "examples/lambdarank"))  # for feature_rows.py
sys.path.append(str(Path(__file__).parent))  # for small_batch.py
