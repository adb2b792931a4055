"""Whether a file or a folder of data is the one that it was."""

import hashlib
from pathlib import Path

WHOLE = 64 * 2**20  # bytes that are read; of a larger file, blocks
BLOCKS = 64


def digest(location: Path) -> tuple[int | None, str | None]:
    """Size in bytes and checksum of a file, or of all files below a folder.

    A file of more than `WHOLE` bytes (in a folder, of its share of them) is known by its size and
    by blocks that lie evenly in it, its first and last ones included: a change elsewhere that
    leaves the size as it was is not seen.

    Returns:
      None for what is no file, such as a pipe, or is not there.
    """
    if location.is_dir():
        files = sorted(file for file in location.rglob("*") if file.is_file())
    elif location.is_file():
        files = [location]
    else:
        return None, None
    found = hashlib.blake2b(digest_size=16)
    for file in files:
        if location.is_dir():
            found.update(f"{file.relative_to(location)}\0".encode())
        _add(found, file, WHOLE // len(files))
    return sum(file.stat().st_size for file in files), found.hexdigest()


def _add(found: "hashlib.blake2b", file: Path, limit: int) -> None:
    size, block = file.stat().st_size, max(limit // BLOCKS, 1)
    found.update(f"{size}\0".encode())
    with open(file, "rb", buffering=0) as data:
        if size <= limit:
            while part := data.read(block):
                found.update(part)
            return
        for number in range(BLOCKS):
            data.seek((size - block) * number // (BLOCKS - 1))
            found.update(data.read(block))
