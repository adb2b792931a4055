"""`t5rank evaluate`."""

import argparse
import json
from pathlib import Path

from t5rank.cli.options import add_command


def add_evaluate(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "evaluate",
        "evaluate run files against relevance judgements",
        """
        Prints the mean of each measure over all queries of the qrels; a query that a run lacks
        counts 0. Tied scores rank by descending document id, as trec_eval does. With several runs,
        each is compared with the first by a paired t-test (Holm-corrected).
        """,
    )
    parser.add_argument("--qrels", required=True, metavar="FILE", help="TREC or MS MARCO qrels")
    parser.add_argument(
        "--run", required=True, action="append", metavar="FILE", help="a run; may be repeated"
    )
    parser.add_argument(
        "--measures",
        default="nDCG@10 RR@10",
        metavar="NAMES",
        help="measures of ir_measures [%(default)s]",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    parser.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from t5rank import evaluation, trec

    runs = {name: trec.read_run(name) for name in arguments.run}
    results = evaluation.evaluate_runs(runs, trec.read_qrels(arguments.qrels), arguments.measures)
    print(evaluation.report_table(results), end="")
    if arguments.json:
        Path(arguments.json).write_text(
            json.dumps(evaluation.report_dict(results), indent=2) + "\n"
        )
    return 0
