"""A small experiment folder, written by hand: two arms, two seeds, one set of six queries."""

import json

QUERIES = [f"q{n}" for n in range(1, 7)]
DOCUMENTS = ["a", "b", "c", "d"]
# Reciprocal ranks: where each query's relevant document, "c", stands (q6 has none).
FIRST_STAGE_RANKS = [3, 3, 2, 3, 3, 3]
RANKS = {
    ("sigmoid", 0): [2, 2, 2, 2, 2, 2],
    ("sigmoid", 1): [4, 4, 4, 2, 2, 2],
    ("softmax", 0): [1, 1, 1, 1, 2, 2],
    ("softmax", 1): [1, 1, 1, 1, 4, 2],
}
WORD = "zebra"  # in every text
NASTY = "<script>alert('x')</script> | *b* `c` [d](e)"
EXPERIMENT = {
    "format": 1,
    "name": "small",
    "size": "tiny",
    "title": "Softmax & sigmoid",
    "description": "Two arms.",
    "command": "t5rank reproduce small --data /somebody/secret/data",
    "seeds": [0, 1],
    "baseline": "sigmoid",
    "arms": [
        {"name": "sigmoid", "title": "Sigmoid", "recipe": "sigmoid.gin"},
        {"name": "softmax", "title": "Softmax", "recipe": "softmax.gin"},
    ],
    "sets": [{"name": "dev", "title": "Six", "first_stage": "by hand", "measures": "RR@10"}],
    "headlines": [
        {
            "system": "Their model",
            "set": "Official",
            "first_stage": "Their retriever",
            "measure": "RR@10",
            "value": 0.987,
            "source": "A paper",
        }
    ],
    "inputs": [{"path": "queries.tsv", "size": 1234, "checksum": "sha256:abc"}],
    "versions": {"t5rank": "0.1.0"},
}
RUN = {
    "steps": 20,
    "train_steps": 20,
    "reason": "finished",
    "documents": 640,
    "tokens": 36000,
    "operations": 5.4e12,
    "seconds": 1800,
    "devices": 2,
    "device_kind": "TPU v0",
    "peak_operations_per_second": 1e10,
    "best": None,
    "validation": {},
    "parameters": 10,
    "versions": {},
}


def run_lines(ranks):
    """A TREC run in which "c" has the given rank in each query."""
    for query, rank in zip(QUERIES, ranks, strict=True):
        others = [doc for doc in DOCUMENTS if doc != "c"]
        for n, doc in enumerate([*others[: rank - 1], "c", *others[rank - 1 :]], start=1):
            yield f"{query} Q0 {doc} {n} {10 - n} by_hand\n"


def write_experiment(folder):
    (folder / "experiment.json").write_text(json.dumps(EXPERIMENT))
    for name in ("sets/dev", "runs/dev", "lists"):
        (folder / name).mkdir(parents=True)
    grades = [(query, "c", int(query != "q6")) for query in QUERIES]
    (folder / "sets/dev/qrels.txt").write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in grades))
    (folder / "sets/dev/first_stage.txt").write_text("".join(run_lines(FIRST_STAGE_RANKS)))
    for (arm, seed), ranks in RANKS.items():
        (folder / f"runs/dev/{arm}-seed_{seed}.txt").write_text("".join(run_lines(ranks)))
        write_model(folder / f"arms/{arm}/seed_{seed}", arm, seed)
    with (folder / "lists/dev").open("w") as lists:
        for query, doc, grade in grades:
            lists.write(json.dumps(ranked_list(query, doc, grade)) + "\n")


def ranked_list(query, relevant, grade):
    documents = [
        {"doc_id": doc, "text": f"{WORD} {NASTY} {doc}", "label": grade * (doc == relevant)}
        for doc in DOCUMENTS
    ]
    return {"query_id": query, "query": f"{WORD} {query}?", "documents": documents}


def write_model(folder, arm, seed):
    folder.mkdir(parents=True)
    config = f"LOSS = @{arm}_loss\nMODEL_DIR = '/somebody/secret/{seed}'\nRANDOM_SEED = {seed}\n"
    (folder / "config.gin").write_text(config)
    lists = {"lists": 6, "answerable/lists": 5}
    records = [{"step": s, "part": "train", "loss": 1 / s, "tokens": 1800} for s in (10, 20)]
    records += [{"step": s, "part": "validation", "mrr@10": s / 100, **lists} for s in (10, 20)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (folder / "run.json").write_text(json.dumps(RUN))
