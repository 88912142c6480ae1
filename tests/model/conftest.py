"""Fixtures: files in the format of official checkpoints, written once for all tests."""

from pathlib import Path

import pytest
from torch import Tensor

from tests.model.support.official_files import COCO, GEN1, official_tensors, random_network, write_official


@pytest.fixture(scope="session")
def gen1_tensors() -> dict[str, Tensor]:
    return official_tensors(random_network(GEN1))


@pytest.fixture(scope="session")
def gen1_file(gen1_tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("official") / "best.pt", gen1_tensors, "gen1")


@pytest.fixture(scope="session")
def coco_tensors() -> dict[str, Tensor]:
    return official_tensors(random_network(COCO))


@pytest.fixture(scope="session")
def coco_file(coco_tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("official") / "coco.pt", coco_tensors, "coco")
