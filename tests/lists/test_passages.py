import re

import pytest

from t5rank.data import trec
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl
from t5rank.lists.passages import read_passage_lists

TRAINING = "--negatives 6 --near_duplicates 0.6"
TWO_RUNS = "--run run0.txt:2-10 --run run1.txt:1-5"


def similar(one, other):
    """Jaccard similarity of word 3-grams, from its definition; no text here has fewer words."""
    grams = [
        {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
        for words in (re.sub(r"\W", " ", text.lower()).split() for text in (one, other))
    ]
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def test_evaluation_lists_are_those_of_the_run(build, world):
    expected = read_passage_lists(
        *(world["folder"] / f for f in ("collection.tsv", "queries.tsv", "qrels.txt", "run0.txt"))
    )
    assert [
        (r.query_id, r.query, r.doc_ids, r.documents, r.labels) for r in read_jsonl(build("out"))
    ] == [(r.query_id, r.query, r.doc_ids, r.documents, r.labels) for r in expected]


def test_training_lists_hold_every_relevant_document_and_what_may_be_a_negative(build, world):
    texts, qrels = world["texts"], world["qrels"]
    lists = {r.query_id: r for r in read_jsonl(build("out", TRAINING, TWO_RUNS))}
    counts = read_manifest(world["folder"] / "out")["counts"]
    with_relevant = {q for q, judged in qrels.items() if max(judged.values()) > 0}
    assert lists.keys() == with_relevant and len(with_relevant) < len(qrels)
    fewer = 0
    for query_id, ranked in lists.items():
        relevant = {d: grade for d, grade in qrels[query_id].items() if grade > 0}
        pool = {*list(world["runs"][0][query_id])[1:10], *list(world["runs"][1][query_id])[:5]}
        near = {d for d in pool for other in relevant if similar(texts[d], texts[other]) >= 0.6}
        allowed = pool - relevant.keys() - near
        negatives = [d for d, y in zip(ranked.doc_ids, ranked.labels, strict=True) if y == 0]
        assert {d: y for d, y in zip(ranked.doc_ids, ranked.labels, strict=True) if y} == relevant
        assert len(negatives) == len(set(negatives)) == min(6, len(allowed))
        assert set(negatives) <= allowed
        assert [texts[d] for d in ranked.doc_ids] == list(ranked.documents)
        judged = ranked.judged or (True,) * len(ranked)
        assert judged == tuple(d in qrels[query_id] for d in ranked.doc_ids)
        fewer += len(allowed) < 6
    assert counts.get("lists_with_fewer_negatives", 0) == fewer
    assert counts["lists_without_relevant_dropped"] == len(qrels) - len(with_relevant)


def test_a_document_of_the_same_words_is_no_negative(build, world):
    lists = {r.query_id: r for r in read_jsonl(build("out", "--negatives 5"))}
    assert lists["q0"].doc_ids == ("d3", "d9")  # d7 has the words of d3
    assert read_manifest(world["folder"] / "out")["counts"]["near_duplicates_left_out"] >= 1
    lists = {r.query_id: r for r in read_jsonl(build("all", "--negatives 5 --near_duplicates 0"))}
    assert set(lists["q0"].doc_ids) == {"d3", "d7", "d9"}


def test_a_document_with_the_id_of_the_query_is_no_negative(build, world):
    trec.write_queries(world["folder"] / "queries.tsv", {"d9": "which list"})
    trec.write_qrels(world["folder"] / "qrels.txt", {"d9": {"d3": 1}})
    trec.write_run(world["folder"] / "run0.txt", {"d9": {"d3": 3.0, "d9": 2.0, "d1": 1.0}})
    (ranked,) = read_jsonl(build("out", "--negatives 5"))
    assert ranked.doc_ids == ("d3", "d1")
    counts = read_manifest(world["folder"] / "out")["counts"]
    assert counts["documents_with_the_id_of_the_query_left_out"] == 1


def test_a_list_depends_on_its_query_and_the_seed_alone(build, world):
    def lists(name, options="", runs=TWO_RUNS):
        folder = build(name, f"{TRAINING} {options}", runs)
        return {r.query_id: r for r in read_jsonl(folder)}

    first = lists("first")
    run = trec.read_run(world["folder"] / "run0.txt")
    backwards = {query_id: run[query_id] for query_id in reversed(run)}
    trec.write_run(world["folder"] / "run0.txt", backwards)
    assert lists("second", "--lists_per_shard 2") == first
    assert lists("third", "--seed 1") != first


def test_folds_part_the_queries(build, world):
    parts = [
        {r.query_id for r in read_jsonl(build(f"fold{i}", f"--folds 3 {option}"))}
        for i, option in enumerate(["--fold 0", "--fold 1 --fold 2"])
    ]
    assert parts[0] | parts[1] == set(world["queries"]) and not parts[0] & parts[1]
    assert all(parts)


def test_a_teacher_scores_what_it_knows_and_the_rest_is_left_out(build, world):
    teacher = {
        q: {d: s / 7 for d, s in list(run.items())[:8]} for q, run in world["runs"][0].items()
    }
    teacher = {q: scored | dict.fromkeys(world["qrels"][q], -2.5) for q, scored in teacher.items()}
    del teacher["q1"]
    trec.write_run(world["folder"] / "teacher.txt", teacher)
    teacher = trec.read_run(world["folder"] / "teacher.txt")
    lists = list(read_jsonl(build("out", "--negatives 20 --teacher teacher.txt")))
    assert "q1" not in {r.query_id for r in lists}
    for ranked in lists:
        scored = dict(zip(ranked.doc_ids, ranked.teacher_scores, strict=True))
        assert scored == {d: teacher[ranked.query_id][d] for d in ranked.doc_ids}
    counts = read_manifest(world["folder"] / "out")["counts"]
    assert counts["lists_without_teacher_score_dropped"] == 1
    assert counts["documents_without_teacher_score_left_out"] > 0


@pytest.mark.parametrize(
    ("options", "runs", "message"),
    [
        ("--teacher run1.txt", "--run run0.txt", "is not in the teacher's file 'run1.txt'"),
        ("", TWO_RUNS, "Evaluation lists have 2 runs; expected 1"),
        ("", "--run run0.txt:5-2", "has the ranks 5-2; expected 1 <= FIRST <= LAST"),
        ("--fold 3 --folds 3", "--run run0.txt", "expected --folds N with each --fold from 0"),
        ("--words 3 --keywords", "--run run0.txt", "'--queries' has no use with --keywords"),
        ("--exclude_contaminated", "--run run0.txt", "expected --evaluation too"),
        ("--near_duplicates 90 --negatives 3", "--run run0.txt", "has 90.0; expected 0 to 1"),
        ("--near 3", "--run run0.txt", "'--near' has no use with these lists"),
        ("--beam_options=x", "--run run0.txt", "has no use without --beam"),
        ("--only_ids x", "--run run0.txt", "gets no lists at all"),
    ],
)
def test_what_makes_no_sense_is_refused(build, capsys, options, runs, message):
    build("out", options, runs, status=1)
    assert message in capsys.readouterr().err


def test_a_candidate_without_text_is_an_error(build, world, capsys):
    trec.write_run(world["folder"] / "run0.txt", {"q0": {"d99": 1.0}})
    build("out", status=1)
    assert (
        "of file 'run0.txt', query 'q0' is not in file 'collection.tsv'" in capsys.readouterr().err
    )
