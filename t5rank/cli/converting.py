"""`t5rank convert` and `t5rank export`."""

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from t5rank.cli.options import add_command, add_lenient, check_at_least_one, say_irregular
from t5rank.cli.streams import check_text, local_folder, new_folder
from t5rank.process.packages import check_installed


def add_convert(commands) -> None:
    parser = add_command(
        commands,
        "convert",
        "convert a checkpoint between t5rank, T5X and Hugging Face",
        """
        SOURCE is a model folder of t5rank, a T5X checkpoint (orbax or legacy, also of scalable_t5),
        a Hugging Face folder of T5, Flan-T5, mT5 or monoT5, or a sentence-transformers folder of
        Sentence-T5 or GTR. The format is detected, and sizes are taken from the parameters. Paths
        may be remote, such as gs://bucket/checkpoint_1000. A dual encoder is written for
        sentence-transformers with --to huggingface.

        t5rank convert monot5-base-msmarco models/monot5 --to t5rank --head monot5
        t5rank convert mt5-base-mmarco-v2 models/mt5 --to t5rank --head monot5 --tokens no,yes
        t5rank convert models/monot5 exported/monot5 --to huggingface
        t5rank convert gtr-t5-base models/gtr --to t5rank
        """,
    )
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint or a folder of them")
    parser.add_argument("destination", type=new_folder, metavar="DESTINATION", help="a new folder")
    parser.add_argument(
        "--to", required=True, choices=("t5rank", "t5x", "huggingface"), help="what to write"
    )
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--vocabulary", metavar="FILE", help="T5's spiece.model [the one beside SOURCE]"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="with {query} and {document} [SOURCE's, or the head's]"
    )
    for side in ("query", "document"):
        parser.add_argument(
            f"--{side}_prompt",
            metavar="TEXT",
            help=f"of a dual encoder: what stands before a {side} [SOURCE's]",
        )
    parser.add_argument(
        "--query_length",
        type=int,
        metavar="N",
        help="of a dual encoder: tokens of the longest query [SOURCE's]",
    )
    parser.add_argument(
        "--max_length", type=int, metavar="N", help="tokens of the longest input [SOURCE's, or 512]"
    )
    parser.set_defaults(command=_convert)
    parser.add_late = _add_kinds


def _add_kinds(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the model kinds, which need JAX and Flax."""
    from t5rank.models import kinds

    known = kinds.known()
    parser.add_argument("--head", choices=[*known], help="how it scores [what SOURCE says]")
    for name, (kind, option) in _kind_options(known).items():
        said = f"for the {kind.name} head: {option.help}"
        parser.add_argument(f"--{name}", choices=option.choices, metavar=option.metavar, help=said)


def _kind_options(known: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The options of all kinds by name, each with a kind that has it."""
    return {option.name: (kind, option) for kind in known.values() for option in kind.options}


def _convert(arguments: argparse.Namespace) -> int:
    from t5rank.model_folder.convert import Settings, convert
    from t5rank.models import kinds

    check_at_least_one(arguments, "max_length", "query_length")
    check_text(arguments, "prompt", "query_prompt", "document_prompt")
    report = convert(
        arguments.source,
        arguments.destination,
        arguments.to,
        Settings(
            head=arguments.head,
            vocabulary=arguments.vocabulary,
            prompt=arguments.prompt,
            query_prompt=arguments.query_prompt,
            document_prompt=arguments.document_prompt,
            query_length=arguments.query_length,
            max_length=arguments.max_length,
            options={
                name: option.parse(getattr(arguments, name))
                for name, (_, option) in _kind_options(kinds.known()).items()
                if getattr(arguments, name) is not None
            },
        ),
        step=arguments.step,
    )
    print(report)
    print(f"Wrote {arguments.destination}.")
    return 0


def add_export(commands) -> None:
    parser = add_command(
        commands,
        "export",
        "export a model for ONNX Runtime",
        """
        It writes a folder that every command takes as --model, and that scores with ONNX Runtime
        (pip install 't5rank[onnx]'). With --int8 it is much faster on CPUs, and its scores differ a
        little. Some queries of your run calibrate it. The other queries tell how much the scores
        differ, and how much the measures change. It takes a few hundred queries at most.

        t5rank export --model models/softmax --output exported --format onnx
        t5rank export --model models/softmax --output exported8 --format onnx --int8 \\
            --queries queries.tsv --collection collection.tsv --run bm25.txt --qrels qrels.txt
        """,
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--output", required=True, type=local_folder, metavar="DIR", help="a new folder"
    )
    parser.add_argument("--format", required=True, choices=("onnx",), help="what to write")
    parser.add_argument("--int8", action="store_true", help="multiply int8 instead of float32")
    for name, text in {
        "queries": "query id TAB text",
        "collection": "document id TAB text",
        "run": "real pairs, TREC or MS MARCO",
        "qrels": "judgements, to measure the change",
        "measures": "measures of ir_measures [nDCG@10 RR@10]",
    }.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=f"with --int8: {text}")
    parser.add_argument(
        "--depth", type=int, metavar="N", help="with --int8: the run's N best [all]"
    )
    add_lenient(parser)
    parser.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    check_installed("onnx")
    from t5rank.data import trec
    from t5rank.evaluation import DEFAULT_MEASURES
    from t5rank.lists.passages import read_passage_lists
    from t5rank.onnx.agreement import table
    from t5rank.onnx.export import export, export_int8

    check_at_least_one(arguments, "depth")
    _check_int8_options(arguments)
    model, output, step = arguments.model, arguments.output, arguments.step
    if not arguments.int8:
        export(model, output, step)
    else:
        options: dict[str, Any] = {"strict": not arguments.lenient, "counts": Counter()}
        lists = read_passage_lists(
            arguments.collection,
            arguments.queries,
            None,
            arguments.run,
            topn=arguments.depth,
            **options,
        )
        qrels = trec.read_qrels(arguments.qrels, **options) if arguments.qrels else None
        measures = arguments.measures or DEFAULT_MEASURES
        agreement = export_int8(model, output, list(lists), qrels, measures, step, **options)
        print(table(agreement))
        say_irregular(options["counts"])
    print(f"Wrote {output}.")
    return 0


def _check_int8_options(arguments: argparse.Namespace) -> None:
    needed = ("queries", "collection", "run")
    missing = [f"--{name}" for name in needed if getattr(arguments, name) is None]
    if arguments.int8 and missing:
        raise ValueError(
            f"Option '--int8' has no {', '.join(missing)}; expected real pairs to calibrate it and "
            "to say how far its scores are from float32."
        )
    others = (*needed, "qrels", "measures", "depth")
    given = [f"--{name}" for name in others if getattr(arguments, name) is not None]
    if not arguments.int8 and given:
        raise ValueError(f"Options {', '.join(given)} have no effect; expected --int8 with them.")
