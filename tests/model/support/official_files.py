"""Files in the form of official checkpoints, and hostile ones, made without the authors' code.

Modules are invented; only their packages, and the names and shapes of their tensors, are those of real files.
"""

import pathlib
import pickle
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikewatch.model.checkpoints.official_import import import_official
from spikewatch.model.checkpoints.official_names import DFL_NAME, official_tensor_names
from spikewatch.model.errors import CheckpointError
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig

GEN1 = SpikeYOLOConfig("t", 2, 3, beta=0.5, input_gain=0.5)
COCO = SpikeYOLOConfig("t", 80, 3)


def random_network(config: SpikeYOLOConfig, seed: int = 0) -> Network:
    """Build a network with weights that float16 cannot represent, and plausible batch-norm statistics."""
    generator = torch.Generator().manual_seed(seed)
    network = build_network(config)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(117)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / 8)
    return network


def official_tensors(network: Network) -> dict[str, Tensor]:
    """Return official name -> tensor, with the constant of the head."""
    names = official_tensor_names(network)
    tensors = {names[ours]: tensor for ours, tensor in network.state_dict().items()}
    return tensors | {DFL_NAME: torch.arange(16.0).reshape(1, 16, 1, 1)}


class FakeClasses:
    """Create classes in packages that exist only within `installed`."""

    def __init__(self) -> None:
        self._modules: dict[str, types.ModuleType] = {}
        self.tree = self._define("ultralytics.nn.modules.block", "Block", nn.Module)
        self.model = self._define("ultralytics.nn.tasks", "DetectionModel", nn.Module)
        self.arguments = self._define("ultralytics.utils", "IterableSimpleNamespace", types.SimpleNamespace)
        self.neurons = {
            "coco": self._define("ultralytics.nn.modules.neuron", "Neuron", nn.Module),
            "gen1": self._define("spikingjelly.activation_based.neuron", "LIFNode", nn.Module),
        }

    def _define(self, module: str, name: str, base: type) -> Any:
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            path = ".".join(parts[:i])
            self._modules.setdefault(path, types.ModuleType(path))
        made = type(name, (base,), {"__module__": module})
        setattr(self._modules[module], name, made)
        return made

    @contextmanager
    def installed(self) -> Iterator[None]:
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            for name in self._modules:
                del sys.modules[name]


def _leaf(tensors: Mapping[str, Tensor]) -> nn.Module:
    weight = tensors["weight"]
    leaf: nn.Module
    if "running_mean" in tensors:
        leaf = nn.BatchNorm2d(len(weight), device="meta")
    else:
        leaf = nn.Conv2d(weight.shape[1], len(weight), 1, bias="bias" in tensors, device="meta")
    for name, tensor in tensors.items():
        if name in leaf._parameters:
            leaf._parameters[name] = nn.Parameter(tensor.clone())
        else:
            leaf._buffers[name] = tensor.clone()
    return leaf


def official_module(
    classes: FakeClasses, tensors: Mapping[str, Tensor], variant: str, names: object
) -> nn.Module:
    """Build a tree of half-precision modules with state dict `tensors` and the attributes of real files."""
    leaves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, leaf = name.rsplit(".", 1)
        leaves.setdefault(module, {})[leaf] = tensor
    root: nn.Module = classes.model()
    root.add_module("model", nn.Sequential(classes.tree()))
    for path, content in leaves.items():
        *parents, last = path.split(".")
        parent = root
        for part in parents:
            if part not in parent._modules:
                parent.add_module(part, classes.tree())
            parent = parent._modules[part]  # type: ignore[assignment]
        parent.add_module(last, _leaf(content))
        if last.startswith("bn"):
            parent.add_module(f"lif_after_{last}", classes.neurons[variant]())
    root.names, root.stride = names, torch.tensor([8.0, 16.0, 32.0])  # type: ignore[assignment]
    root.yaml = {"nc": 80, "backbone": [[-1, 1, "Block", [128, 4]]], "scale": "t"}  # type: ignore[assignment]
    root.args = classes.arguments(data="coco.yaml", project=pathlib.PosixPath("runs/detect"))
    root.shape, root.kind = torch.Size([1, 3]), torch.float16  # type: ignore[assignment]
    root.register_buffer("scratch", torch.zeros(2), persistent=False)
    assert {n: t.shape for n, t in root.state_dict().items()} == {n: t.shape for n, t in tensors.items()}
    return root.half()


def official_content(
    classes: FakeClasses, tensors: Mapping[str, Tensor], variant: str, names: object, source: str = "ema"
) -> dict[str, Any]:
    """Build the content that the authors' training saves."""
    module = official_module(classes, tensors, variant, names)
    some = [nn.Parameter(torch.ones(3))]
    optimizer = torch.optim.SGD(some, 0.01, momentum=0.9)
    some[0].sum().backward()
    optimizer.step()
    return {
        "epoch": 299,
        "best_fitness": np.float64(0.41),
        "model": None if source == "ema" else module,
        "ema": module if source == "ema" else None,
        "updates": 1234,
        "optimizer": optimizer.state_dict(),
        "train_args": classes.arguments(imgsz=640, save_dir=pathlib.PosixPath("runs/x")),
        "train_metrics": {"metrics/mAP50(B)": 0.6, "fitness": np.float64(0.4)},
        "train_results": {"epoch": [0, 1], "lr": [0.1, 0.01]},
        "date": "2024-03-01T12:00:00.000000",
        "version": "8.0.190",
    }


def write_official(
    path: Path, tensors: Mapping[str, Tensor], variant: str, names: object = None, source: str = "ema"
) -> Path:
    """Write a pickled module of the packages in real files; the packages are removed afterwards."""
    classes = FakeClasses()
    with classes.installed():
        torch.save(official_content(classes, tensors, variant, names, source), path)
    return path


class Runs:
    """Object that calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def refused(path: Path, words: str) -> str:
    """Check that `path` is rejected with one line, and return it."""
    with pytest.raises(CheckpointError, match=words) as caught:
        import_official(path, "coco")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    assert "weights_only" not in message, "torch's advice to run the file is not ours"
    return message


def write_archive(path: Path, data: bytes, storages: Mapping[str, bytes] | None = None) -> Path:
    """Write a zip like torch.save, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/byteorder", b"little")
        archive.writestr("a/version", b"3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"a/data/{key}", content)
    return path


def edit_archive(path: Path, edit: Any, to: Path) -> Path:
    """Write a copy with `edit` applied to the pickle, with valid checksums."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry.filename, edit(data) if entry.filename.endswith("/data.pkl") else data)
    return to


def text(value: str) -> bytes:
    """Return pickle opcodes that push a string."""
    data = value.encode()
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def name(module: str, attribute: str) -> bytes:
    """Return pickle opcodes that push a global."""
    return f"c{module}\n{attribute}\n".encode()


def reduce(function: bytes, *arguments: bytes) -> bytes:
    """Return pickle opcodes that call `function`."""
    return function + b"(" + b"".join(arguments) + b"tR"


def program(value: bytes, *before: bytes) -> bytes:
    """Return a complete pickle of `{"model": value}`, with some values created before it."""
    return b"\x80\x02}" + text("x") + b"](" + b"".join(before) + b"es" + text("model") + value + b"s."
