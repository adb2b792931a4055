import json

import pytest

pytest.importorskip("matplotlib")

from matplotlib import image, pyplot
from matplotlib.figure import Figure

from t5rank.train.curves import learning_curves

RECORDS = [
    {"part": "train", "step": 10, "loss": 2.0, "ndcg@10": 0.3},
    {"part": "train", "step": 20, "loss": 1.0, "ndcg@10": 0.4},
    {"part": "validation", "step": 20, "ndcg@10": 0.5, "mrr@10": 0.6},
]


@pytest.fixture
def curves(tmp_path, monkeypatch):
    """Draws runs; gives the panels' curves as `(label, x, y)`."""

    def draw(runs, **settings):
        figures = []
        savefig = Figure.savefig
        monkeypatch.setattr(
            Figure, "savefig", lambda f, *args, **kw: (figures.append(f), savefig(f, *args, **kw))
        )
        folders = {}
        for number, (label, records) in enumerate(runs.items()):
            folders[label] = tmp_path / str(number)
            folders[label].mkdir(exist_ok=True)
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (folders[label] / "metrics.jsonl").write_text(lines)
        learning_curves(folders, tmp_path / "curves.png", **settings)
        return {
            panel.get_title(): [
                (line.get_label(), list(line.get_xdata()), list(line.get_ydata()))
                for line in panel.lines
            ]
            for panel in figures[0].axes
        }

    return draw


def test_panels_hold_the_loss_and_each_metric(curves):
    assert curves({"": RECORDS}) == {
        "training loss": [("train", [10, 20], [2.0, 1.0])],
        "ndcg@10": [("train", [10, 20], [0.3, 0.4]), ("validation", [20], [0.5])],
        "mrr@10": [("validation", [20], [0.6])],
    }


def test_runs_are_told_apart_by_their_labels(curves):
    found = curves({"softmax": RECORDS, "sigmoid": RECORDS})
    labels = [label for label, _, _ in found["ndcg@10"]]
    assert labels == [
        "softmax train",
        "softmax validation",
        "sigmoid train",
        "sigmoid validation",
    ]


def test_picture_is_a_png_with_something_on_it(curves, tmp_path):
    curves({"": RECORDS})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    pixels = image.imread(tmp_path / "curves.png")
    assert pixels.shape[0] > 100
    assert pixels.std() > 0


@pytest.mark.parametrize("metrics", [(), ("ndcg@10",), ("ndcg@10", "mrr@10", "other")])
def test_metrics_are_chosen(curves, metrics):
    assert list(curves({"": RECORDS}, metrics=metrics)) == ["training loss", *metrics]


def test_run_without_records_is_empty_panels(curves):
    assert curves({"": []}) == {"training loss": [], "ndcg@10": [], "mrr@10": []}


def test_figures_are_closed(curves):
    before = pyplot.get_fignums()
    curves({"": RECORDS})
    assert pyplot.get_fignums() == before
