"""Import of official checkpoints gives equal networks; test_official_rejected.py has the mismatches."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint, weights_digest
from spikewatch.model.checkpoints.dyadic_init import fill_dyadic
from spikewatch.model.checkpoints.official_export import export_official
from spikewatch.model.checkpoints.official_import import VARIANTS, import_official, resolve_class_names
from spikewatch.model.checkpoints.official_names import official_tensor_names
from spikewatch.model.coco_classes import COCO_CLASSES
from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.step import StepContext
from spikewatch.model.network.yolov8 import SpikingYOLOv8
from tests.model.support.official_files import (
    GEN1,
    edit_archive,
    official_tensors,
    random_network,
    text,
    write_official,
)


def assert_halves(detector: Detector, tensors: dict[str, Tensor]) -> None:
    """Check that every weight equals the half-precision original exactly, and that none is missing."""
    state = detector.network.state_dict()
    for ours, official in official_tensor_names(detector.network).items():
        original = tensors[official]
        want = original.half().float() if original.is_floating_point() else original
        assert torch.equal(state[ours], want), official
        assert state[ours].dtype == want.dtype, official
    assert len(state) == len(tensors) - 1, "the constant of the head is no tensor of ours"


def test_gen1_file_is_imported(gen1_file: Path, gen1_tensors: dict[str, Tensor]) -> None:
    assert "ultralytics" not in sys.modules
    assert "spikingjelly" not in sys.modules
    detector = import_official(gen1_file, "gen1")
    assert_halves(detector, gen1_tensors)
    spec = detector.spec
    assert spec.config == detector.network.config == GEN1
    assert (spec.name, spec.training) == (
        "spikeyolo-t-gen1",
        "imported from best.pt (official SpikeYOLO, gen1)",
    )
    assert (spec.input_height, spec.input_width, spec.slices, spec.slice_us) == (256, 320, 4, 62_500)
    assert (spec.representation, spec.time_order) == ("latest_polarity", "newest_first")
    assert spec.class_names == ("car", "pedestrian")
    digest = hashlib.sha256(gen1_file.read_bytes()).hexdigest()
    assert spec.provenance == {
        "file": "best.pt",
        "sha256": digest,
        "variant": "gen1",
        "source": "ema",
        "epoch": "299",
        "date": "2024-03-01T12:00:00.000000",
        "version": "8.0.190",
    }


def test_coco_file_has_the_golden_tensor_names(golden: Path, tmp_path: Path) -> None:
    shapes = json.loads((golden / "statedict_coco_n_nc80.json").read_text())
    network = random_network(SpikeYOLOConfig("n", 80, 3), seed=1)
    tensors = official_tensors(network)
    assert {name: list(t.shape) for name, t in tensors.items()} == shapes
    path = write_official(tmp_path / "n.pt", tensors, "coco", dict(enumerate(COCO_CLASSES)), "model")
    detector = import_official(path, "coco", scale="n")
    assert_halves(detector, tensors)
    spec = detector.spec
    assert spec.config == SpikeYOLOConfig("n", 80, 3)
    assert (spec.name, spec.representation, spec.slices) == ("spikeyolo-n-coco", "image", 1)
    assert (spec.input_height, spec.input_width, spec.time_order) == (640, 640, "oldest_first")
    assert spec.provenance["source"] == "model"
    assert spec.class_names == COCO_CLASSES


def test_import_survives_a_checkpoint_round_trip(gen1_file: Path, tmp_path: Path) -> None:
    detector = import_official(gen1_file, "gen1", slices=2, time_order="oldest_first", name="mine")
    assert (detector.spec.slices, detector.spec.time_order, detector.spec.name) == (2, "oldest_first", "mine")
    save_checkpoint(tmp_path / "w.safetensors", detector.network, detector.spec)
    loaded = load_checkpoint(tmp_path / "w.safetensors")
    assert loaded.spec == detector.spec
    assert weights_digest(loaded.network) == weights_digest(detector.network)


@pytest.mark.parametrize(
    ("names", "classes", "variant", "want"),
    [
        (None, 80, "coco", COCO_CLASSES),
        (None, 2, "gen1", ("car", "pedestrian")),
        (None, 3, "gen1", ("class_0", "class_1", "class_2")),
        ({0: "bus", 1: "tram", 2: "van"}, 3, "coco", ("bus", "tram", "van")),
        ({0: "bus", 1: "tram"}, 3, "coco", ("class_0", "class_1", "class_2")),
        ({"0": "bus", "1": "tram"}, 2, "gen1", ("car", "pedestrian")),
        ({0: "bus", 1: "bus"}, 2, "gen1", ("car", "pedestrian")),
        ({0: "bus", 1: "two\nlines"}, 2, "gen1", ("car", "pedestrian")),
        ({0: "bus", 1: 7}, 2, "gen1", ("car", "pedestrian")),
        ({0: "bus", 1: "x" * 100}, 2, "gen1", ("car", "pedestrian")),
        (["bus", "tram"], 2, "gen1", ("car", "pedestrian")),
    ],
)
def test_class_names_are_resolved(names: object, classes: int, variant: str, want: tuple[str, ...]) -> None:
    assert resolve_class_names(names, classes, VARIANTS[variant]) == want


def test_class_names_of_the_file_are_used(tmp_path: Path) -> None:
    tensors = official_tensors(random_network(SpikeYOLOConfig("t", 3, 3)))
    path = write_official(tmp_path / "best.pt", tensors, "gen1", {0: "bus", 1: "tram", 2: "van"})
    assert import_official(path, "gen1").spec.class_names == ("bus", "tram", "van")


@pytest.mark.parametrize("repeats", [(1, 2, 3, 2), (2, 1, 1, 1), None])
def test_stage_repeats_are_inferred(repeats: tuple[int, int, int, int] | None, tmp_path: Path) -> None:
    config = SpikeYOLOConfig("t", 80, 3, repeats=repeats)
    network = random_network(config)
    export_official(network, tmp_path / "r.pt")
    detector = import_official(tmp_path / "r.pt", "coco")
    assert detector.spec.config == config
    assert weights_digest(detector.network) == weights_digest(network)


@pytest.mark.parametrize("scale", ["t", "n"])
def test_exported_weights_are_imported_bit_exactly(scale: str, tmp_path: Path) -> None:
    network = random_network(SpikeYOLOConfig(scale, 80, 3))
    export_official(network, tmp_path / "e.pt")
    detector = import_official(tmp_path / "e.pt", "coco")
    assert detector.spec.provenance["source"] == "state dict"
    assert weights_digest(detector.network) == weights_digest(network)
    content = torch.load(tmp_path / "e.pt", weights_only=True)
    assert content.keys() == {"model"}
    assert content["model"]["model.26.dfl.conv.weight"].flatten().tolist() == list(range(16))


def test_imported_network_equals_the_original(tmp_path: Path) -> None:
    network = random_network(GEN1).eval()
    fill_dyadic(network)
    export_official(network, tmp_path / "e.pt")
    imported = import_official(tmp_path / "e.pt", "gen1")
    original = Detector(network, imported.spec)
    states = [imported.init_state(), original.init_state()]
    for seed in range(2):
        frames = (torch.rand(1, 3, 256, 320, generator=torch.Generator().manual_seed(seed)) * 2).round() / 2
        a, b = (d.step(frames, s) for d, s in zip((imported, original), states, strict=True))
        states = [a.state, b.state]
        assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
        assert sum(int(count.sum()) for count in a.spikes.values()) > 0


def fired(detector: Detector, currents: list[float]) -> list[float]:
    """Return the spikes of one neuron of the second stage for currents of consecutive slices."""
    neuron = next(m for m in detector.network.modules() if isinstance(m, ILIF) and "stage2" in m.name)
    h, out = torch.zeros(1, 1, 1, 1), []
    for current in currents:
        step = StepContext({neuron.name: h})
        out.append(float(neuron(torch.full((1, 1, 1, 1), current), step)))
        h = step.next_state[neuron.name]
    return out


def test_gen1_neuron_fires_as_computed_by_hand(gen1_file: Path) -> None:
    # v = 0.5 v + 0.5 x: 1.5 fires 2, leaves -0.5; 1.25 fires 1; 5.125 fires 4, leaves 1.125; 0.0625; 1.53125
    assert fired(import_official(gen1_file, "gen1"), [3.0, 3.0, 10.0, -1.0, 3.0]) == [2, 1, 4, 0, 2]


def test_coco_neuron_fires_as_computed_by_hand(coco_file: Path) -> None:
    # u = 0.25 (u - s) + x: 1.5 fires 2; 2.875 fires 3; 9.96875 fires 4, leaves 5.96875; 0.4921875 fires 0
    assert fired(import_official(coco_file, "coco"), [1.5, 3.0, 10.0, -1.0, 0.0]) == [2, 3, 4, 0, 0]


def test_wrong_variant_of_a_pickled_module_is_rejected(gen1_file: Path, coco_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"imports spikingjelly.*pass variant gen1"):
        import_official(gen1_file, "coco")
    with pytest.raises(CheckpointError, match=r"does not import spikingjelly.*pass variant coco"):
        import_official(coco_file, "gen1")


def test_contradicting_options_are_rejected(gen1_file: Path) -> None:
    with pytest.raises(ConfigError, match="variant 'dvs' is unknown; known are coco, gen1"):
        import_official(gen1_file, "dvs")
    with pytest.raises(ConfigError, match="still images"):
        import_official(gen1_file, "coco", time_order="newest_first")
    with pytest.raises(CheckpointError, match="is of scale t, not s; pass --scale t"):
        import_official(gen1_file, "gen1", scale="s")


def test_variants_without_official_names_are_not_exported(tmp_path: Path) -> None:
    network = SpikingYOLOv8(SpikeYOLOConfig("n", architecture="yolov8"))
    with pytest.raises(ConfigError, match="official names"):
        export_official(network, tmp_path / "e.pt")
    assert not (tmp_path / "e.pt").exists()


def test_date_of_the_file_is_made_printable_and_short(gen1_file: Path, tmp_path: Path) -> None:
    old = text("2024-03-01T12:00:00.000000")
    path = edit_archive(
        gen1_file, lambda d: d.replace(old, text("\x1b[31m\n" + "9" * 500)), tmp_path / "d.pt"
    )
    assert import_official(path, "gen1").spec.provenance["date"] == "?[31m?" + "9" * 58
