"""Under which name the model of a Hugging Face folder was published."""

import re
from collections.abc import Iterator

from etils import epath

from t5rank.checkpoints.huggingface_config import CONFIG
from t5rank.formats.json_files import read_object_if_any


def published_names(folder: epath.Path) -> Iterator[str]:
    """Names that a folder says, the surest first.

    The folder's own name comes first (that of the hub's cache too), then `_name_or_path` in its
    `config.json`, then the title of its README.md and what that loads.
    """
    yield folder.name
    if folder.parent.name == "snapshots":  # models--OWNER--NAME/snapshots/COMMIT
        yield folder.parent.parent.name.rsplit("--", 1)[-1]
    yield str(read_object_if_any(folder / CONFIG).get("_name_or_path", "")).rstrip("/")
    card = folder / "README.md"
    if card.is_file():
        text = card.read_bytes().decode(errors="replace")
        yield from re.findall(r"^# +(\S+) *$", text, re.MULTILINE)[:1]
        yield from re.findall(r"""from_pretrained\(\s*["']([^"']+)["']""", text)
        yield from re.findall(r"""model_name *= *["']([^"']+)["']""", text)
