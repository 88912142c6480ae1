"""examples/street.ipynb: its cells run, and its figures show the results."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples/street.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
needs_plot = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra `plot` is not installed"
)


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """Variables after all cells have run in one process, with the figure of each cell."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    names["figures"] = [pyplot.figure(number) for number in pyplot.get_fignums()]
    yield names
    pyplot.close("all")


@needs_plot
def test_frames_hold_the_events_and_boxes_of_their_results(names: dict[str, Any]) -> None:
    axes = names["figures"][0].axes
    assert len(axes) == len(names["shown"]) == 6
    for ax, result in zip(axes, names["shown"], strict=True):
        assert names["frames"][result.t_us].sum() == result.events
        drawn = [patch.get_bbox().bounds for patch in ax.patches]
        assert np.allclose(drawn, result.detections.xywh)
        assert np.ptp(ax.images[0].get_array()) > 0.5
    assert sum(len(result.detections) for result in names["shown"]) > 6


@needs_plot
def test_plots_hold_rates_and_energy(names: dict[str, Any]) -> None:
    rates, energy = names["figures"][1:]
    results = names["results"]
    assert np.array_equal(rates.axes[0].lines[0].get_ydata(), [result.firing_rate for result in results])
    assert rates.axes[1].collections[0].get_array().shape == (len(names["layers"]), len(results))
    as_ann, spiking = (line.get_ydata() * names["span_s"] for line in energy.axes[0].lines)
    assert spiking.sum() == pytest.approx(names["summary"].energy_mj.snn)
    assert as_ann.sum() == pytest.approx(names["summary"].energy_mj.ann)
    assert sum(names["by_layer"].values()) == pytest.approx(spiking.sum())


@needs_plot
def test_figures_are_drawn(names: dict[str, Any]) -> None:
    for figure in names["figures"]:
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())
        assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50


@needs_plot
def test_notebook_runs_in_jupyter(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are not installed")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3


def test_notebook_is_stored_without_outputs() -> None:
    assert all(cell.get("outputs", []) == [] for cell in CELLS)
