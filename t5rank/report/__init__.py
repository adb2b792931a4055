"""`t5rank report`: the report of an experiment, as an HTML page and as Markdown."""

from t5rank.report.writing import WrittenReport, write_report

__all__ = ["WrittenReport", "write_report"]
