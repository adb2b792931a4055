"""`t5rank evaluate`."""

import argparse
import functools
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from t5rank.cli.options import add_command, add_lenient, say_irregular
from t5rank.cli.streams import check_text, opened, say

_SET = "{set}"


def add_evaluate(commands) -> None:
    parser = add_command(
        commands,
        "evaluate",
        "evaluate run files against relevance judgements",
        """
        It prints the mean of each measure over all queries of the qrels, with 95% bootstrap
        intervals. A query that a run lacks counts 0. Documents with equal scores are ranked by
        descending document id, as in trec_eval. If there are several runs, each is compared with
        the first by a paired t-test and by a randomization test (both Holm-corrected).

        NAME=FILE,FILE,... are the runs of one arm, one for each seed. Figures are their means, and
        intervals are over queries and seeds.

        With {set} in the paths of --qrels and --run, all sets are evaluated and averaged:
          --qrels 'beir/{set}/qrels.tsv' --run 'bm25=runs/bm25/{set}.txt'
        """,
    )
    parser.add_argument(
        "--qrels",
        required=True,
        metavar="PATH",
        help="TREC, MS MARCO or BEIR qrels; or lists (JSON lines, or a folder) with whole numbers "
        "as labels",
    )
    parser.add_argument(
        "--run",
        required=True,
        action="append",
        metavar="[NAME=]FILE[,FILE...]",
        help="a run, or the runs of several seeds; may be repeated",
    )
    parser.add_argument(
        "--sets", metavar="NAMES", help="the sets that {set} stands for [all that have qrels]"
    )
    measures = parser.add_mutually_exclusive_group()
    measures.add_argument(
        "--measures", metavar="NAMES", help="measures of ir_measures [nDCG@10 RR@10]"
    )
    measures.add_argument(
        "--protocol",
        choices=["msmarco", "dl", "beir"],
        help="the measures of MS MARCO dev (RR@10), of TREC Deep Learning (nDCG@10, and RR and AP "
        "with relevance from grade 2) or of BEIR (nDCG@10 R@100, with --ignore_identical_ids); the "
        "last two with Judged@10",
    )
    parser.add_argument(
        "--ignore_identical_ids",
        action="store_true",
        help="leave out documents with the id of their query, as BEIR does: in ArguAna and Quora a "
        "query is also a document, and would find itself",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write the figures as JSON; - prints them, and the table goes to standard error",
    )
    add_lenient(parser)
    parser.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from t5rank import evaluation
    from t5rank.evaluation import sets

    check_text(arguments, "measures")
    arms = _arms(arguments.run)
    _check_set(arguments, arms)
    measures = arguments.measures or evaluation.PROTOCOLS.get(
        arguments.protocol, evaluation.DEFAULT_MEASURES
    )
    evaluation.parse_measures(measures)  # bad names are an error before files are read
    report: dict[str, Any]
    counts: Counter[str] = Counter()
    if _SET in arguments.qrels:
        by_set = _evaluated_sets(arguments, arms, measures, counts)
        table, report = sets.sets_table(by_set), sets.sets_dict(by_set)
    else:
        results = _evaluated(arguments, arguments.qrels, arms, measures, counts)
        table, report = evaluation.report_table(results), evaluation.report_dict(results)
    say_irregular(counts)
    say(table.removesuffix("\n"), arguments.json)
    if arguments.json:
        with opened(arguments.json) as file:
            file.write(json.dumps(report, indent=2) + "\n")
    return 0


def _evaluated(
    arguments: argparse.Namespace,
    qrels: str,
    arms: Mapping[str, Sequence[str]],
    measures: str,
    counts: Counter[str],
):
    from t5rank import evaluation
    from t5rank.data import trec
    from t5rank.data.judgements import read_judgements

    options: dict[str, Any] = {"strict": not arguments.lenient, "counts": counts}
    read_run = functools.partial(trec.read_run, **options)
    return evaluation.evaluate_seeds(
        {name: map(read_run, files) for name, files in arms.items()},
        read_judgements(qrels, **options),
        measures,
        ignore_identical_ids=arguments.ignore_identical_ids
        or arguments.protocol in evaluation.IGNORES_IDENTICAL_IDS,
    )


def _evaluated_sets(
    arguments: argparse.Namespace,
    arms: Mapping[str, Sequence[str]],
    measures: str,
    counts: Counter[str],
):
    from t5rank.evaluation import sets

    names = (arguments.sets or "").split() or sets.find_sets(arguments.qrels)
    runs = {f"Run '{name}'": files for name, files in arms.items()}
    sets.check_files(names, {"Option '--qrels'": [arguments.qrels], **runs})
    return {
        name: _evaluated_set(
            name,
            arguments,
            arguments.qrels.replace(_SET, name),
            {arm: [file.replace(_SET, name) for file in files] for arm, files in arms.items()},
            measures,
            counts,
        )
        for name in names
    }


def _evaluated_set(name: str, *arguments: Any):
    try:
        return _evaluated(*arguments)
    except ValueError as error:
        raise ValueError(f"Set '{name}': {error}") from None


def _arms(options: Sequence[str]) -> dict[str, list[str]]:
    """The files of each arm by its name; an arm without a name has the name of its file."""
    arms: dict[str, list[str]] = {}
    for option in options:
        name, equals, files = option.partition("=")
        if not equals or "/" in name or os.path.isfile(option):
            name = files = option
        if name in arms:
            raise ValueError(f"Option '--run' has the name '{name}' twice; expected other names.")
        whole = os.path.isfile(files)  # its name may hold a comma
        arms[name] = [files] if whole else [file for file in files.split(",") if file]
        if not arms[name]:
            raise ValueError(f"Option '--run' has no file in '{option}'; expected NAME=FILE.")
    return arms


def _check_set(arguments: argparse.Namespace, arms: Mapping[str, Sequence[str]]) -> None:
    paths = [arguments.qrels, *(file for files in arms.values() for file in files)]
    without = [path for path in paths if _SET not in path]
    if 0 < len(without) < len(paths):
        raise ValueError(
            f"Path '{without[0]}' has no {_SET}, others have; expected it in --qrels and in "
            "every file of --run, or in none."
        )
    if without and arguments.sets:
        raise ValueError(
            f"Option '--sets' has '{arguments.sets}', but no path has {_SET}; expected "
            "it in --qrels and --run."
        )
