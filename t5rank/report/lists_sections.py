"""The lists for training and evaluation: counts, contamination, sources and options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from t5rank.report.blocks import Block, Details, Heading, Paragraph, Table

Manifests = Mapping[str, Mapping[str, Any]]


def lists_section(manifests: Manifests) -> Iterator[Block]:
    """The section on the lists, from the manifests of `t5rank lists` by the lists' names."""
    if not manifests:
        return
    yield Heading(2, "Lists")
    yield _counts(manifests)
    yield from _contamination(manifests)
    for name, manifest in manifests.items():
        sources = [
            [each["name"], each["file"], each["sha256"], f"{each['bytes']:,}"]
            for each in manifest["sources"]
        ]
        header = ("Source", "File", "SHA-256", "Bytes")
        options = [[key, _written(value)] for key, value in manifest["options"].items()]
        yield Details(
            f"Lists '{name}': sources and options",
            [
                Table(f"Sources of the lists '{name}'.", header, sources, text_columns=3),
                Table("Options.", ("Option", "Value"), options, text_columns=2),
            ],
        )


def _counts(manifests: Manifests) -> Table:
    keys = dict.fromkeys(key for manifest in manifests.values() for key in manifest["counts"])
    return Table(
        "The contents of the lists, and what was left out or repaired when they were made.",
        ("Lists", *(key.replace("_", " ") for key in keys)),
        [
            [name, *(f"{manifest['counts'].get(key, 0):,}" for key in keys)]
            for name, manifest in manifests.items()
        ],
    )


def _contamination(manifests: Manifests) -> Iterator[Block]:
    checked = [
        (name, other, manifest["contamination"].get(other, {}))
        for name, manifest in manifests.items()
        for other in manifest["options"]["evaluation"]
    ]
    rows = [
        [name, other, finding.replace("_", " "), f"{entry['lists']:,}"]
        for name, other, findings in checked
        for finding, entry in findings.items()
    ]
    if rows:
        header = ("Lists", "In common with", "What", "Lists that have it")
        yield Table("Contamination.", header, rows, text_columns=3)
    clean = [f"'{name}' and '{other}'" for name, other, findings in checked if not findings]
    if clean:
        yield Paragraph(
            f"No common query and no common relevant document was found: {', '.join(clean)}."
        )
    if not checked:
        yield Paragraph("These lists were not compared with any evaluation set.", "note")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
