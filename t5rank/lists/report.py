"""The text that `t5rank lists` prints at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from t5rank.data.ranked_list import summary


def report_text(manifest: dict[str, Any], folder: str) -> str:
    """The counts and the contamination of a folder, for people."""
    size = sum(shard["bytes"] for shard in manifest["shards"]) / 1e6
    lines = [
        f"Wrote {folder}: {len(manifest['shards']):,} files, {size:,.1f} MB.",
        summary(Counter(manifest["counts"])) + ".",
        *_contamination(manifest),
    ]
    return "\n".join(lines)


def _contamination(manifest: dict[str, Any]) -> Iterator[str]:
    for name in manifest["options"]["evaluation"]:
        findings = manifest["contamination"].get(name, {})
        if not findings:
            yield f"Nothing in common with '{name}'."
        for finding, entry in findings.items():
            examples = ", ".join(entry["examples"][:3])
            yield (
                f"In common with '{name}': {finding.replace('_', ' ')} in {entry['lists']:,} "
                f"lists (such as {examples})."
            )
