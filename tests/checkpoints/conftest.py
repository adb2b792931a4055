import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """`gs://bucket`, which an emulator holds."""
    pytest.importorskip("gcp_storage_emulator", reason="needs gcp-storage-emulator")
    pytest.importorskip("google.cloud.storage", reason="needs google-cloud-storage, as orbax does")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for the emulator's certificate")
    import gcs

    with (
        gcs.serving(tmp_path_factory.mktemp("certificate")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield "gs://bucket"


@pytest.fixture
def saved(tmp_path):
    """Saves a model of transformers; `config.json` says "untied", as the published ones do."""
    from transformers_t5 import VERSIONS, edit, torch_model

    def save(version: str = "1.0", **settings):
        folder = tmp_path / f"theirs {version}"
        torch_model(version).save_pretrained(folder, **settings)
        edit(folder / "config.json", **VERSIONS[version][1])
        return folder

    return save
