from t5rank import cli
from t5rank.data import trec
from t5rank.data.jsonl import read_jsonl


def test_queries_are_words_of_the_document_sought(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"{first}{last}" for first in ("ant", "bee", "cat") for last in "abcde"]
    texts = {f"d{i}": " ".join(words[i % 5 :] + words[: i % 5]) for i in range(30)}
    trec.write_queries("collection.tsv", texts | {"x1": texts["d1"], "d99": "too few"})
    candidates = {f"q{i}": {f"d{j}": -float(j) for j in range(i, i + 10)} for i in range(20)}
    trec.write_run("run.txt", candidates)
    arguments = "--keywords --collection collection.tsv --run run.txt --words 8 --query_words 2 3"
    arguments += r" --near 4 --random 5 --only_ids d\d+"
    assert cli.main(["lists", "out", *arguments.split()]) == 0
    lists = list(read_jsonl("out"))
    assert sorted(r.query_id for r in lists) == sorted(f"{d}-{i}" for d in texts for i in range(2))
    windows = {}
    for ranked in lists:
        sought = ranked.query_id.rpartition("-")[0]
        documents = dict(zip(ranked.doc_ids, ranked.documents, strict=True))
        assert set(ranked.query.split()) <= set(documents[sought].split())
        assert {d for d, y in zip(ranked.doc_ids, ranked.labels, strict=True) if y} == {sought}
        assert 6 <= len(ranked) <= 10
        together = {d for scored in candidates.values() if sought in scored for d in scored}
        assert len(together & documents.keys()) >= (4 if together else 0)  # d29 is alone
        for doc_id, text in documents.items():
            assert text in texts.get(doc_id, "too few")
            assert windows.setdefault(doc_id, text) == text
    assert {len(text.split()) for text in windows.values()} <= {2, 8}
