"""The command `t5rank`."""

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import t5rank

INTERRUPTED = 143  # what a shell reports for a process that SIGTERM ended


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status."""
    arguments = _parser().parse_args(_one_word_bindings(sys.argv[1:] if argv is None else argv))
    _set_up_logging()
    try:
        return arguments.command(arguments)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("t5rank: interrupted", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        print(f"t5rank: {error}", file=sys.stderr)
        return 1


def _set_up_logging() -> None:
    handler = _TqdmHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("t5rank")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("absl").setLevel(logging.ERROR)


def _import_tensorflow() -> None:
    """Imports TensorFlow without the lines that it writes to the terminal whatever it is told."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # of no use for reading data
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, _stderr_to(said):
        try:
            tensorflow = importlib.import_module("tensorflow")
            # It only reads data: accelerators belong to JAX.
            tensorflow.config.set_visible_devices([], "GPU")
        except Exception:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _stderr_to(file: BinaryIO) -> Iterator[None]:
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _TqdmHandler(logging.Handler):
    """Writes lines above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def _one_word_bindings(argv: Sequence[str]) -> list[str]:
    """`--gin.NAME=value` as `--gin=NAME=value`, which argparse knows."""
    return [f"--gin={a.removeprefix('--gin.')}" if a.startswith("--gin.") else a for a in argv]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="t5rank",
        description="Fine-tune, evaluate and use T5 rerankers in JAX.",
        epilog="New here? Run 't5rank quickstart'.",
    )
    parser.add_argument("--version", action="version", version=f"t5rank {t5rank.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_quickstart,
        _add_train,
        _add_rerank,
        _add_merge,
        _add_score,
        _add_evaluate,
        _add_convert,
        _add_export,
    ):
        add(commands)
    return parser


def _command(commands, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(text).strip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_quickstart(commands) -> None:
    parser = _command(
        commands,
        "quickstart",
        "train two small rerankers on Python's documentation and compare them",
        """
        The text is the documentation strings of the Python that runs this, the vocabulary is
        trained on the spot, and everything is written under one folder. Takes a few minutes on two
        CPU cores and needs no network.
        """,
    )
    parser.add_argument(
        "--output", default="t5rank_quickstart", help="folder to write [%(default)s]"
    )
    parser.add_argument("--steps", type=int, help="training steps of each model [the recipe's]")
    parser.set_defaults(command=_quickstart)


def _quickstart(arguments: argparse.Namespace) -> int:
    _import_tensorflow()
    from t5rank.quickstart import quickstart

    quickstart(Path(arguments.output), arguments.steps)
    return 0


def _add_train(commands) -> None:
    parser = _command(
        commands,
        "train",
        "fine-tune a reranker from a gin recipe",
        """
        t5rank train --gin_file=t5rank/configs/recipes/msmarco_passage_softmax.gin \\
            --gin.MODEL_DIR=models/softmax --gin.DATA_DIR=data --gin.VOCABULARY_FILE=spiece.model

        Run again with the same MODEL_DIR, it resumes from the latest checkpoint. On SIGTERM or
        Ctrl-C it saves, ends and returns 143. Recipes: t5rank/configs/recipes/*.gin, gin/recipes
        in the source. The macros that a recipe can set are listed in
        t5rank/configs/runs/finetune.gin.
        """,
    )
    parser.add_argument(
        "--gin_file", action="append", default=[], required=True, metavar="FILE", help="a recipe"
    )
    parser.add_argument(
        "--gin",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="sets a macro or a parameter; also written --gin.NAME=VALUE",
    )
    parser.set_defaults(command=_train)


def _train(arguments: argparse.Namespace) -> int:
    _import_tensorflow()
    from t5rank.compilation_cache import use_compilation_cache
    from t5rank.train.config import configured_trainer

    use_compilation_cache()
    trainer = configured_trainer(arguments.gin_file, arguments.gin)
    result = trainer.train()
    return INTERRUPTED if result.reason == "interrupted" else 0


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--batch_tokens", type=int, metavar="N", help="tokens scored at once [by the device]"
    )


def _load_model(arguments: argparse.Namespace) -> "t5rank.Reranker":
    from t5rank.compilation_cache import use_compilation_cache

    _check_at_least_one(arguments, "batch_tokens")
    use_compilation_cache()
    return t5rank.Reranker.from_pretrained(
        arguments.model, step=arguments.step, batch_tokens=arguments.batch_tokens
    )


def _add_rerank(commands) -> None:
    parser = _command(
        commands,
        "rerank",
        "rerank a run file",
        """
        Scores every candidate of the run and writes a TREC run. Interrupted, it goes on where it
        was when the same command is given again.
        """,
    )
    _add_model(parser)
    parser.add_argument("--queries", required=True, metavar="FILE", help="query id TAB text")
    parser.add_argument("--collection", required=True, metavar="FILE", help="document id TAB text")
    parser.add_argument("--run", required=True, metavar="FILE", help="candidates, TREC or MS MARCO")
    parser.add_argument("--output", required=True, metavar="FILE", help="the TREC run to write")
    parser.add_argument("--depth", type=int, metavar="N", help="rerank the N best of the run [all]")
    parser.add_argument("--topn", type=int, metavar="N", help="write the N best documents [all]")
    parser.add_argument("--tag", default="t5rank", help="the run's name [%(default)s]")
    parser.set_defaults(command=_rerank)


def _rerank(arguments: argparse.Namespace) -> int:
    from t5rank import model_folder, trec
    from t5rank.data.passages import read_passage_lists
    from t5rank.rerank import fingerprint, rerank_run

    _check_at_least_one(arguments, "depth", "topn")
    sizes = trec.count_documents(arguments.run).values()
    total = sum(min(size, arguments.depth or size) for size in sizes)
    files = [
        arguments.queries,
        arguments.collection,
        arguments.run,
        os.path.join(arguments.model, model_folder.CONFIG),
        model_folder.weights_path(arguments.model, arguments.step),
    ]
    lists = read_passage_lists(
        arguments.collection, arguments.queries, None, arguments.run, topn=arguments.depth
    )
    written = rerank_run(
        _load_model(arguments),
        lists,
        arguments.output,
        settings=fingerprint(files, arguments.depth),
        topn=arguments.topn,
        tag=arguments.tag,
        total=total,
    )
    print(
        f"Wrote {written.documents:,} documents of {written.queries:,} queries to "
        f"{arguments.output}."
    )
    return 0


def _add_merge(commands) -> None:
    parser = _command(
        commands,
        "merge",
        "make one run of the shards of an inference",
        """
        Reads what `t5x.infer` with NUM_SHARDS=n wrote into a folder (NAME.trec-00000-of-0000n, ...)
        and writes one TREC run. All shards must be there and finished.
        """,
    )
    parser.add_argument("folder", metavar="DIR", help="INFER_OUTPUT_DIR of the inference")
    parser.add_argument("--output", required=True, metavar="FILE", help="the TREC run to write")
    parser.set_defaults(command=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from t5rank import trec
    from t5rank.data.files import shards

    files = shards(arguments.folder, ".trec")
    queries = trec.merge_runs(files, arguments.output)
    print(f"Wrote {queries:,} queries of {len(files)} files to {arguments.output}.")
    return 0


def _check_at_least_one(arguments: argparse.Namespace, *names: str) -> None:
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"Option '--{name}' has {value}; expected at least 1.")


def _add_score(commands) -> None:
    parser = _command(
        commands,
        "score",
        "score documents from standard input",
        """
        Reads one document a line and prints 'score TAB document' in the same order.

        printf '%s\\n' 'A list is mutable.' 'A tuple is not.' |
            t5rank score --model DIR --query 'what is a list'
        """,
    )
    _add_model(parser)
    parser.add_argument("--query", required=True, metavar="TEXT", help="the query")
    parser.add_argument("--sort", action="store_true", help="print the best first")
    parser.set_defaults(command=_score)


def _score(arguments: argparse.Namespace) -> int:
    documents = [line.rstrip("\r\n") for line in sys.stdin]
    if not documents:
        raise ValueError("Standard input has no line; expected one document a line.")
    reranker = _load_model(arguments)
    if arguments.sort:
        ranked = reranker.rank(arguments.query, documents)
        pairs = [(item.score, item.document) for item in ranked]
    else:
        pairs = list(zip(reranker.score(arguments.query, documents), documents, strict=True))
    for score, document in pairs:
        print(f"{score:.6f}\t{document}")
    return 0


def _add_evaluate(commands) -> None:
    parser = _command(
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


def _add_convert(commands) -> None:
    parser = _command(
        commands,
        "convert",
        "convert a checkpoint between t5rank, T5X and Hugging Face",
        """
        SOURCE is a model folder of t5rank, a T5X checkpoint (orbax or legacy, scalable_t5 too) or a
        Hugging Face folder of T5, Flan-T5, mT5 or monoT5; what it is, is detected. Sizes are
        taken from the parameters. Paths may be remote, such as gs://bucket/checkpoint_1000.

        t5rank convert monot5-base-msmarco models/monot5 --to t5rank --head monot5
        t5rank convert models/monot5 exported/monot5 --to huggingface
        """,
    )
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint or a folder of them")
    parser.add_argument("destination", metavar="DESTINATION", help="a new folder")
    parser.add_argument(
        "--to", required=True, choices=("t5rank", "t5x", "huggingface"), help="what to write"
    )
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument(
        "--head", choices=("rankt5", "monot5", "encoder"), help="how it scores [what SOURCE says]"
    )
    parser.add_argument(
        "--vocabulary", metavar="FILE", help="T5's spiece.model [the one beside SOURCE]"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="with {query} and {document} [SOURCE's, or the head's]"
    )
    parser.add_argument(
        "--max_length", type=int, metavar="N", help="tokens of the longest input [SOURCE's, or 512]"
    )
    parser.add_argument(
        "--pooling", choices=("first", "mean"), help="of the encoder head [SOURCE's, or first]"
    )
    parser.set_defaults(command=_convert)


def _convert(arguments: argparse.Namespace) -> int:
    from t5rank.convert import Settings, convert

    _check_at_least_one(arguments, "max_length")
    report = convert(
        arguments.source,
        arguments.destination,
        arguments.to,
        Settings(
            head=arguments.head,
            vocabulary=arguments.vocabulary,
            prompt=arguments.prompt,
            max_length=arguments.max_length,
            pooling=arguments.pooling,
        ),
        step=arguments.step,
    )
    print(report)
    print(f"Wrote {arguments.destination}.")
    return 0


def _add_export(commands) -> None:
    parser = _command(
        commands,
        "export",
        "export a model for ONNX Runtime",
        """
        Writes a folder that every command takes as --model, and scores with ONNX Runtime
        (pip install 't5rank[onnx]'). In int8 it is much faster on CPUs and its scores are a little
        different: a run of yours calibrates it on some queries, and on all others says how
        different, and what that does to the measures. It takes a few hundred queries at most.

        t5rank export --model models/softmax --output exported --format onnx
        t5rank export --model models/softmax --output exported8 --format onnx --int8 \\
            --queries queries.tsv --collection collection.tsv --run bm25.txt --qrels qrels.txt
        """,
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="a model folder")
    parser.add_argument("--step", type=int, help="which checkpoint [the best, or the latest]")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--format", required=True, choices=("onnx",), help="what to write")
    parser.add_argument("--int8", action="store_true", help="multiply int8 instead of float32")
    for name, text in {
        "queries": "query id TAB text",
        "collection": "document id TAB text",
        "run": "real pairs, TREC or MS MARCO",
        "qrels": "judgements, for the change of measures",
        "measures": "measures of ir_measures [nDCG@10 RR@10]",
    }.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=f"with --int8: {text}")
    parser.add_argument(
        "--depth", type=int, metavar="N", help="with --int8: the run's N best [all]"
    )
    parser.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    from t5rank import trec
    from t5rank.data.passages import read_passage_lists
    from t5rank.evaluation import DEFAULT_MEASURES
    from t5rank.onnx.agreement import table
    from t5rank.onnx.export import export, export_int8

    _check_at_least_one(arguments, "depth")
    _check_int8_options(arguments)
    model, output, step = arguments.model, arguments.output, arguments.step
    if not arguments.int8:
        export(model, output, step)
    else:
        lists = read_passage_lists(
            arguments.collection, arguments.queries, None, arguments.run, topn=arguments.depth
        )
        qrels = trec.read_qrels(arguments.qrels) if arguments.qrels else None
        measures = arguments.measures or DEFAULT_MEASURES
        print(table(export_int8(model, output, list(lists), qrels, measures, step)), end="")
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


if __name__ == "__main__":
    sys.exit(main())
