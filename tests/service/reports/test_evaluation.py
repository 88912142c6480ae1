"""Every form of an evaluation's report says the same, and shows what it says."""

import csv
import json
import re
import sys
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.evaluation import Evaluation, compute_score
from spikewatch.model.training.evaluation.metrics import RECALL_THRESHOLDS
from spikewatch.model.training.evaluation.misses import worst_misses
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.service.reports.evaluation import (
    ReportContext,
    evaluation_json,
    plot_curves,
    write_evaluation_report,
)
from spikewatch.service.reports.misses import MISS_COLOUR, draw_miss
from tests.service.support.console import Done
from tests.service.support.evaluation_data import coco_folder, picture_network

SIZE = (120, 80)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_folder(tmp_path_factory.mktemp("coco"))


def truth(*boxes: tuple[float, float, float, float]) -> GroundTruth:
    xywh = np.array(boxes, float).reshape(-1, 4)
    return GroundTruth(xywh, np.zeros(len(xywh), int), xywh[:, 2] * xywh[:, 3], np.zeros(len(xywh), bool))


def found(*rows: tuple[float, float, float, float, float]) -> Detections:
    data = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(data[:, :4], data[:, 4], np.zeros(len(data), int), 0)


@pytest.fixture(scope="module")
def done() -> Evaluation:
    """Found and a false positive; missed; nothing at all."""
    images = (
        ScoredImage(
            0, 1_000_000, truth((10, 10, 30, 30)), found((10, 10, 30, 30, 0.75), (70, 40, 20, 20, 0.9))
        ),
        ScoredImage(0, 2_000_000, truth((50, 20, 40, 40)), found()),
        ScoredImage(0, 3_000_000, truth(), found()),
    )
    return Evaluation(compute_score(images, ["<car>", "bus"]), 1, images, None, None)


SETUP = ReportContext("data & set", "coco_recordings", "all", None, "theirs")


def look(image: ScoredImage) -> tuple[str, np.ndarray]:
    return "a<b.dat", np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)


def test_curves_are_the_same_in_json_csv_and_plot(done: Evaluation, tmp_path: Path) -> None:
    for ending in (".json", ".csv", ".png", ".html"):
        write_evaluation_report(tmp_path / f"r{ending}", done, SETUP, look)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report == json.loads(json.dumps(evaluation_json(done, SETUP)))
    assert [(curve["class"], curve["iou"]) for curve in report["curves"]] == [("<car>", 0.5), ("<car>", 0.75)]
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(RECALL_THRESHOLDS)
    assert {row["training"] for row in rows} == {"detections of another system, from files"}
    for curve in report["curves"]:
        of_iou = [row for row in rows if float(row["iou"]) == curve["iou"]]
        for name in ("recall", "precision", "confidence"):
            np.testing.assert_allclose([float(row[name]) for row in of_iou], curve[name], rtol=1e-5)
    assert np.mean(report["curves"][0]["precision"]) == pytest.approx(report["ap50"])
    assert report["curves"][0]["precision"][50] == pytest.approx(0.5), "the second best box hits one of two"
    lines = plot_curves(done.score, "t").axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_ydata(), report["curves"][0]["precision"])
    with Image.open(tmp_path / "r.png") as plot:
        assert plot.width > 1000


def test_the_page_shows_misses_worst_first_and_needs_no_other_file(done: Evaluation, tmp_path: Path) -> None:
    write_evaluation_report(tmp_path / "r.html", done, SETUP, look)
    page = (tmp_path / "r.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert captions == ["&lt;car&gt; 0.900: a&lt;b.dat", "&lt;car&gt; 1,600 px²: a&lt;b.dat"]
    assert "data &amp; set, all" in page
    assert "theirs: detections of another system" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    pictures = [b64decode(data) for data in re.findall(r"base64,([^\"]+)", page)]
    assert all(Image.open(BytesIO(data)).format == "PNG" for data in pictures)


def test_the_miss_is_outlined(done: Evaluation) -> None:
    for (miss,), at in zip(worst_misses(done.images, 1), [(70, 40, 20, 20), (50, 20, 40, 40)], strict=True):
        image = done.images[miss.image]
        png = draw_miss(look(image)[1], image, miss)
        picture = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)
        rows, columns = np.nonzero((abs(picture - MISS_COLOUR) < 12).all(2))
        x, y, w, h = at
        assert (columns.min(), rows.min()) == (4 * x, 4 * y)
        assert (columns.max(), rows.max()) == (4 * (x + w) - 1, 4 * (y + h) - 1)


def test_a_page_without_misses_says_so(tmp_path: Path) -> None:
    images = (ScoredImage(0, 0, truth((1, 1, 9, 9)), found((1, 1, 9, 9, 0.5))),)
    perfect = Evaluation(compute_score(images, ["car"]), 1, images, None, None)
    write_evaluation_report(tmp_path / "r.html", perfect, SETUP, look)
    assert (tmp_path / "r.html").read_text().count("<p>None.</p>") == 2


def test_every_output_of_a_run_repeats_what_the_weights_are_worth(
    coco: Path, tmp_path: Path, run: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory
) -> None:
    weights = picture_network(tmp_path_factory.mktemp("weights") / "w.safetensors")
    outs = [tmp_path / f"r{ending}" for ending in (".json", ".csv", ".html", ".png")]
    done = run("evaluate", coco, "--weights", weights, "--batch", 2, *(x for p in outs for x in ("-o", p)))
    assert done.status == 0, done.err
    assert all("untrained" in path.read_text() for path in outs[:3])
    assert "untrained" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in outs}
    assert "2.png" in outs[2].read_text() or "0.png" in outs[2].read_text()


def test_without_matplotlib_it_says_what_to_install(
    coco: Path,
    tmp_path: Path,
    run: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "spikewatch.service.reports.evaluation", raising=False)
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    done = run("evaluate", coco, "-o", tmp_path / "e.png")
    assert (done.status, "pip install 'spikewatch[plot]'" in done.err) == (1, True)
    assert list(tmp_path.iterdir()) == []
