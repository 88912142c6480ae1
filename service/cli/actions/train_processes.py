"""The device of `spikewatch train`, and the rank of this process under torchrun."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from spikewatch.model.errors import ConfigError
from spikewatch.model.training.learner.run import ProcessRank

Made = TypeVar("Made")

PROCESS_GROUP_TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first, which alone scores, and cuts recordings before others read them."""


def select_device(requested: str | None) -> torch.device:
    """Return the requested device, by default a GPU if there is one; each process has its own GPU.

    Raises:
        ConfigError: the device does not exist.
    """
    name = requested or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}: expected cpu, cuda or cuda:N") from error
    there = torch.cuda.device_count() if device.type == "cuda" else int(device.type == "cpu")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if (device.index or 0) >= there:
        raise ConfigError(f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices here")
    return device


def init_distributed(device: torch.device) -> ProcessRank:
    """Return the rank of this process; join the group if torchrun started it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessRank()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PROCESS_GROUP_TIMEOUT)
    return ProcessRank(distributed.get_rank(), distributed.get_world_size())


def shutdown_distributed(process: ProcessRank) -> None:
    """Leave the group of processes, if there is one."""
    if process.world_size > 1:
        distributed.destroy_process_group()


def run_on_first_rank_first(process: ProcessRank, make: Callable[[], Made]) -> Made:
    """Call `make` in the first process, then in the others, which reuse files that the first made."""
    if process.world_size == 1:
        return make()
    made = make() if process.is_first else None
    distributed.barrier()
    return made if made is not None else make()


def half_precision_dtype(device: torch.device, requested: bool | None) -> torch.dtype | None:
    """Return the fastest half-precision type, or None for float32; the default is half on a GPU only.

    A CPU gains speed from bfloat16 only with AVX-512 BF16.
    """
    on_gpu = device.type == "cuda"
    if not (on_gpu if requested is None else requested):
        return None
    if on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16
