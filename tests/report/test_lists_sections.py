"""The section on the lists' manifests."""

from t5rank.report.blocks import Paragraph, Table
from t5rank.report.lists_sections import lists_section

SOURCE = {"name": "queries", "file": "queries.tsv", "sha256": "12ab", "bytes": 1234}
CLEAN = {
    "options": {"evaluation": ["dev"], "seed": 0},
    "sources": [SOURCE],
    "counts": {"lists": 2000, "documents": 24000},
    "contamination": {},
}
SOILED = {**CLEAN, "contamination": {"dev": {"same_query_text": {"lists": 3, "examples": ["1"]}}}}


def test_contamination_is_said():
    blocks = [*lists_section({"train": SOILED})]
    (table,) = [b for b in blocks if isinstance(b, Table) and b.caption == "Contamination."]
    assert table.rows == [["train", "dev", "same query text", "3"]]


def test_cleanness_is_said_only_where_it_was_looked_for():
    def said(manifest):
        blocks = lists_section({"train": manifest})
        return next(block.text for block in blocks if isinstance(block, Paragraph))

    assert said(CLEAN).startswith("No common query")
    unchecked = {**CLEAN, "options": {"evaluation": []}}
    assert said(unchecked) == "These lists were not compared with any evaluation set."
