"""Shared fixtures. Real recordings and golden values live outside the project; tests skip without them."""

import os
import signal
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import untrained_detector
from tests.model.support.exported import MISSING, Exported, export

THREADS = "OMP_NUM_THREADS"


def pytest_configure() -> None:
    """Make tests, and the programs that they start, independent of how pytest was started."""
    use_one_thread()
    heed_ctrl_c()


def use_one_thread() -> None:
    """Compute on one thread, here and in programs that tests start.

    Small networks gain nothing from a second one, and threads that wait for each other on shared cores lose a
    third of the time, or twenty times as much where they spin.
    """
    os.environ.setdefault(THREADS, "1")
    torch.set_num_threads(int(os.environ[THREADS]))


def heed_ctrl_c() -> None:
    """Take SIGINT as at a terminal: a script's background job ignores it, and its children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, a file is one worker's, and so are all tests that share a costly fixture.

    Those with slow tests come first, so that no worker is left with one of them in the end.
    """
    slow = {_group(item) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: _group(item) not in slow)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    shared = {"exported"} & set(getattr(item, "fixturenames", ()))
    return min(shared, default=item.nodeid.partition("::")[0])


TEST_DATA = Path(os.environ.get("SPIKEWATCH_TEST_DATA", Path(__file__).parents[2] / "shared"))


def _folder(name: str) -> Path:
    folder = TEST_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set SPIKEWATCH_TEST_DATA to the folder that holds {name}/")
    return folder


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of real event recordings."""
    return _folder("recordings")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden values of the reference implementation."""
    return _folder("golden")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The untrained default as an ONNX and an OpenVINO file; once for all, since exporting takes a minute."""
    if MISSING:
        pytest.skip(f"{MISSING} not installed: the extra `export`")
    return export(untrained_detector(), tmp_path_factory.mktemp("exported"))
