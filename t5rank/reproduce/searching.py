"""The steps of a set that dual encoders search: its texts, then a run for each model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from t5rank.data.documents import Documents
from t5rank.data.jsonl import read_jsonl
from t5rank.formats.text_files import write_text
from t5rank.report.experiment import Experiment
from t5rank.reproduce.designs import ArmDesign, SetDesign
from t5rank.reproduce.steps import Step

DEPTH = 100  # documents of a query


def texts_step(experiment: Experiment, each: SetDesign, data: Path) -> Step:
    """Writes the queries of a set and the documents that are searched."""
    collection, queries = _texts(experiment, each)

    def call() -> None:
        lists = read_jsonl(experiment.lists(each.name))
        write_text(queries, "".join(f"{item.query_id}\t{item.query}\n" for item in lists))
        wanted = re.compile(each.only_ids)
        documents = Documents([str(each.collection).format(data=data)]).read()
        write_text(
            collection,
            "".join(f"{name}\t{text}\n" for name, text in documents if wanted.fullmatch(name)),
        )

    return Step(
        f"Write the queries and the collection of '{each.name}'", collection.exists, call=call
    )


def search_steps(
    experiment: Experiment, each: SetDesign, arm: ArmDesign, seed: int
) -> Iterator[Step]:
    """Encodes the collection with a model, and searches it."""
    collection, queries = _texts(experiment, each)
    model, run = experiment.model(arm.name, seed), experiment.run(each.name, arm.name, seed)
    vectors = experiment.folder / "vectors" / each.name / f"{arm.name}-seed_{seed}"
    encode = ("encode", f"--model={model}", f"--collection={collection}", f"--output={vectors}")
    searched = (f"--vectors={vectors}", f"--model={model}", f"--queries={queries}")
    written = (f"--topk={DEPTH}", f"--output={run}", f"--tag={arm.name}-seed_{seed}")
    search = ("search", *searched, *written)
    named = f"'{each.name}' by '{arm.name}', seed {seed}"
    yield Step(f"Encode {named}", run.exists, encode)  # which goes on with its shards
    yield Step(f"Search {named}", run.exists, search)


def _texts(experiment: Experiment, each: SetDesign) -> tuple[Path, Path]:
    """The files of the collection and of the queries."""
    folder = experiment.qrels(each.name).parent
    return folder / "collection.tsv", folder / "queries.tsv"
