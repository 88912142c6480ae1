"""Files that are no official checkpoints, or whose tensors do not fit, are rejected."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spikewatch.model.checkpoints.official_import import import_official
from spikewatch.model.errors import CheckpointError

Edit = Callable[[dict[str, Tensor]], object]
LATER = "model.2.Conv.bn1"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop("model.25.bn1.weight"), r"lacks 'model.25.bn1.weight'"),
        (lambda t: t.pop("model.26.cv3.0.2.conv.weight"), r"cv3.0.2.conv.weight is missing"),
        (lambda t: t.update({"model.27.w": torch.zeros(1)}), r"has unknown tensors: 'model.27.w'"),
        (lambda t: t.update({"model.26.dfl.conv.weight": torch.ones(1, 16, 1, 1)}), r"dfl.*not 0 to 15"),
        (lambda t: t.update({"model.26.dfl.conv.weight": torch.ones(2)}), r"dfl.*not 0 to 15"),
        (lambda t: t.update({f"{LATER}.bias": torch.zeros(5)}), r"has shape \(5,\), expected \(32,\)"),
        (lambda t: t.update({f"{LATER}.bias": t[f"{LATER}.bias"].double()}), r"is float64, expected float16"),
        (lambda t: t.update({f"{LATER}.bias": t[f"{LATER}.bias"].int()}), r"is int32, expected float16"),
        (
            lambda t: t.update({f"{LATER}.num_batches_tracked": torch.tensor(1.0)}),
            r"is float32, expected int64",
        ),
        (lambda t: t[f"{LATER}.bias"].fill_(torch.inf), r"bn1.bias holds NaN or infinity"),
        (lambda t: t[f"{LATER}.running_var"].fill_(-1), r"negative variances"),
        (lambda t: t.update({f"{LATER}.bias": 3}), r"bn1.bias' is a int, expected a tensor"),
        (lambda t: t.update({3: torch.zeros(1)}), r"a name is a int, expected a string"),  # type: ignore[dict-item]
        (lambda t: t.clear(), r"holds no tensors"),
        (
            lambda t: t.update({"model.1.encode_conv.weight": torch.zeros(20, 3, 7, 7)}),
            r"20 channels after the encoder, expected one of 16 \(t\)",
        ),
        (
            lambda t: t.update({"model.1.encode_conv.weight": torch.zeros(16, 2, 7, 7)}),
            r"2 input channels, expected 3",
        ),
        (lambda t: t.update({"model.1.encode_conv.weight": torch.zeros(7)}), r"expected 4 dimensions"),
        (
            lambda t: t.update({"model.26.cv3.0.2.conv.weight": torch.zeros(5000, 1, 1, 1)}),
            r"5000 classes, expected 1 to 1000",
        ),
        (lambda t: t.update({f"model.8.{i}.x": torch.zeros(1) for i in range(99)}), r"99 blocks in row 8"),
        (lambda t: t.update({"model.1.encode_conv.weight": torch.zeros(96, 3, 7, 7)}), r"lacks|has shape"),
    ],
)
def test_mismatched_tensors_are_rejected(
    edit: Edit, words: str, coco_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = {name: t.clone() for name, t in coco_tensors.items()}
    edit(tensors)
    torch.save({"model": tensors}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=words) as caught:
        import_official(tmp_path / "x.pt", "coco")
    assert "\n" not in str(caught.value)


def test_plain_yolo_is_named_in_the_error(tmp_path: Path) -> None:
    tensors = {"model.0.conv.weight": torch.zeros(16, 3, 3, 3), "model.22.cv2.0.2.bias": torch.zeros(64)}
    torch.save({"model": tensors}, tmp_path / "yolov8n.pt")
    with pytest.raises(CheckpointError, match=r"a plain YOLO .* expected a SpikeYOLO"):
        import_official(tmp_path / "yolov8n.pt", "coco")


@pytest.mark.parametrize("content", [{"weights": 1}, [1], None, torch.zeros(2), {"model": None}, {"ema": 3}])
def test_files_with_other_content_are_rejected(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"expected a (dict|module)"):
        import_official(tmp_path / "x.pt", "coco")


def test_other_zip_files_are_rejected(gen1_file: Path, tmp_path: Path) -> None:
    whole = gen1_file.read_bytes()
    cases = {
        "no such file": None,
        "not a zip file of torch.save": b"",
        "not a zip file": struct.pack("<Q", 40) + b"{}",
        "bare pickle.*save it again": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "damaged or truncated zip": whole[: len(whole) // 2],
        "checksum": whole.replace(b"ultralytics", b"ultralytica", 1),
    }
    for words, content in cases.items():
        path = tmp_path / "x.pt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            import_official(path, "gen1")
    with pytest.raises(CheckpointError, match="not a readable file"):
        import_official(tmp_path, "gen1")
