"""Checkpoints: safetensors files with the model specification in their metadata, and untrained networks."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS, UNTRAINED, weights_path
from spikewatch.model.checkpoints.dyadic_init import fill_dyadic, set_dyadic_head_bias
from spikewatch.model.checkpoints.file_format import CHECKPOINT_FORMAT, read_metadata, read_spec
from spikewatch.model.checkpoints.tensor_checks import check_tensors
from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.digest import digest_tensors
from spikewatch.model.runtime.binary_spikes import to_spike_driven
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.names import AUTO
from spikewatch.model.runtime.select import select_runtime
from spikewatch.model.spec import ModelSpec


def save_checkpoint(path: Path, network: Network, spec: ModelSpec, half: bool = False) -> None:
    """Write all parameters and batch-norm statistics, with the specification as metadata.

    Args:
        path: path of the file.
        network: network with the tensors.
        spec: specification of the model.
        half: write kernels as float16, which halves the file; all other tensors stay float32.

    Raises:
        CheckpointError: the file cannot be written.
    """
    tensors = {
        name: (t.half() if half and t.ndim > 1 else t).contiguous()
        for name, t in network.state_dict().items()
    }
    try:
        save_file(tensors, path, metadata={"format": CHECKPOINT_FORMAT, "spec": json.dumps(spec.to_json())})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot write the file ({error})") from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Detector:
    """Read a weights file; see `read_network`."""
    return Detector(*read_network(path), device)


def read_network(path: Path) -> tuple[Network, ModelSpec]:
    """Read the network and the specification of a weights file, without executing anything in it.

    Raises:
        CheckpointError: the file is missing, damaged or of another format, or its tensors do not fit the
            network that it describes.
    """
    try:
        # not memory-mapped, because reading pages of a file truncated meanwhile kills the process (SIGBUS)
        data = path.read_bytes()
        tensors = load(data)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except KeyError as error:
        raise CheckpointError(f"{path}: numbers of type {error} are not supported") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    spec = read_spec(path, read_metadata(path, data))
    with torch.device("meta"):
        network = build_network(spec.config)
    expected = network.state_dict()
    check_tensors(path, tensors, expected, f"{spec.config.architecture}, scale {spec.config.scale}")
    network.load_state_dict({name: t.to(expected[name].dtype) for name, t in tensors.items()}, assign=True)
    return network, spec


def untrained_detector(scale: str = "t", device: torch.device | str = "cpu") -> Detector:
    """Build a detector with dyadic weights. Its boxes are meaningless; every output says `untrained`."""
    return Detector(*_untrained(scale), device)


def _untrained(scale: str) -> tuple[Network, ModelSpec]:
    config = SpikeYOLOConfig(scale=scale)
    return untrained_network(config), ModelSpec(f"spikewatch-{scale}-untrained", config)


def untrained_network(config: SpikeYOLOConfig) -> Network:
    """Build a network with dyadic weights that give few confident boxes."""
    network = build_network(config)
    fill_dyadic(network)
    set_dyadic_head_bias(network)
    return network


def load_detector(
    weights: str | None = None,
    device: torch.device | str = "cpu",
    mode: str = "integer",
    runtime: str = "eager",
    state_dtype: torch.dtype = torch.float32,
    compile_options: CompileOptions | None = None,
) -> Detector:
    """Load the detector of a weights file; the default is DEFAULT_WEIGHTS.

    Args:
        weights: path of a safetensors file, a name in `bundled_weights()`, or `untrained`.
        device: device to run on.
        mode: `integer`, or `spike` for the same results from binary spikes at D times the cost.
        runtime: a name in RUNTIMES, or `auto` for the fastest on this machine; `spike` always runs eagerly.
        state_dtype: type of the membranes between slices; `eager` supports float32 only.
        compile_options: for runtime `compiled`; None: those of the environment.

    Raises:
        CheckpointError: see `load_checkpoint`.
        ConfigError: the runtime does not support this network or this device.
    """
    weights = weights or DEFAULT_WEIGHTS
    network, spec = _untrained("t") if weights == UNTRAINED else read_network(weights_path(weights))
    if mode == "spike":
        if runtime not in (AUTO, "eager"):
            raise ConfigError(f"runtime {runtime}: binary spikes run eagerly; choose eager or {AUTO}")
        return Detector(to_spike_driven(network), spec, device)
    chosen = select_runtime(runtime, network, device, compile_options)
    return Detector(network, spec, device, chosen, state_dtype, compile_options)


def weights_digest(network: Network) -> str:
    """Return the first 16 hex digits of the SHA-256 over all tensors, in the order of their names."""
    return digest_tensors({name: t.detach().cpu().numpy() for name, t in network.state_dict().items()})
