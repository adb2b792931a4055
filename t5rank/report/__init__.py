"""The report of an experiment, as a page and as Markdown (`t5rank report`)."""

from t5rank.report.writing import WrittenReport, write_report

__all__ = ["WrittenReport", "write_report"]
