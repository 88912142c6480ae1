"""SpikeYOLO: parameter counts, and validation of configurations."""

import pytest
import torch

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.spikeyolo import SpikeYOLO
from spikewatch.model.spec import ModelSpec

OFFICIAL_DFL = 16
"""The reference implementation counts the constant 0..15 of its DFL as a parameter; ours is no parameter."""


def parameters(config: SpikeYOLOConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in SpikeYOLO(config).parameters())


@pytest.mark.parametrize(
    ("scale", "classes", "expected"),
    [
        ("n", 80, 13_271_632),
        ("s", 80, 23_153_024),
        ("m", 80, 47_841_856),
        ("l", 80, 68_478_400),
        ("n", 2, 13_248_934),
        ("s", 2, 23_122_838),
    ],
)
def test_parameter_counts_equal_the_paper(scale: str, classes: int, expected: int) -> None:
    assert parameters(SpikeYOLOConfig(scale, classes, 3)) + OFFICIAL_DFL == expected


def test_scale_t_has_few_parameters() -> None:
    assert 1_500_000 < parameters(SpikeYOLOConfig("t")) < 3_000_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "x"}, "scale 'x' is unknown; known are t, n, s, m, l"),
        ({"classes": 0}, "classes is 0"),
        ({"beta": 1.5}, "beta is 1.5"),
        ({"d_max": 0}, "d_max is 0"),
    ],
)
def test_bad_configuration_is_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpikeYOLOConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("car",)}, "1 class names, expected 2"),
        ({"class_names": ("car", "a\nb")}, "printable characters only"),
        ({"time_order": "shuffled"}, "time_order 'shuffled' is unknown"),
        ({"slices": 65}, "slices is 65: .* at most 64 slices"),
        ({"representation": "voxels"}, "representation 'voxels' is unknown"),
        ({"representation": "latest_polarity"}, "in_channels is 2, expected 3 for latest_polarity"),
        ({"input_height": 250}, "multiples of 32"),
    ],
)
def test_contradicting_specification_is_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelSpec("m", SpikeYOLOConfig(), **change)


def test_specification_json_round_trip() -> None:
    spec = ModelSpec("m", SpikeYOLOConfig("n", beta=0.5), slices=2)
    assert ModelSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ConfigError, match="unexpected keyword"):
        ModelSpec.from_json(spec.to_json() | {"colour": "red"})
