import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def shared_data(pytestconfig) -> pathlib.Path:
    """The folder with copies of public data, which are not part of the repository."""
    default = pytestconfig.rootpath.parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("T5RANK_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set T5RANK_SHARED_DATA to the folder of the real data")
    return folder
