"""`t5rank report`."""

import argparse

from t5rank.cli.options import add_command
from t5rank.cli.streams import local_folder


def add_report(commands) -> None:
    parser = add_command(
        commands,
        "report",
        "write the report of an experiment",
        """
        It reads an experiment folder, which `t5rank reproduce` writes, and writes DIR/report: a
        page (index.html, which needs no other file and no network), and the same text as Markdown
        (report.md and pictures). If a seed or a run is missing, the report says so at its head, and
        does not compare the arms that lack it.
        """,
    )
    parser.add_argument("folder", type=local_folder, metavar="DIR", help="the experiment folder")
    parser.add_argument(
        "--without_texts",
        action="store_true",
        help="show ids in place of the texts of queries and documents, for publishing",
    )
    parser.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from t5rank.report import write_report

    written = write_report(arguments.folder, with_texts=not arguments.without_texts)
    for piece in written.missing:
        print(f"Missing: {piece}.")
    print(f"Wrote {written.page} and {written.markdown}.")
    return 0
