"""Where `spikewatch train` runs: the device, and this process among those that torchrun started."""

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
    """By default a GPU where there is one; of several processes, each its own.

    Raises:
        ConfigError: it is not there.
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
    """The place of this process; alone without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessRank()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PROCESS_GROUP_TIMEOUT)
    return ProcessRank(distributed.get_rank(), distributed.get_world_size())


def shutdown_distributed(process: ProcessRank) -> None:
    """The end of `join`."""
    if process.world_size > 1:
        distributed.destroy_process_group()


def run_on_first_rank_first(process: ProcessRank, make: Callable[[], Made]) -> Made:
    """Let the first process make what the others then find made."""
    if process.world_size == 1:
        return make()
    made = make() if process.is_first else None
    distributed.barrier()
    return made if made is not None else make()


def half_precision_dtype(device: torch.device, requested: bool | None) -> torch.dtype | None:
    """What the device multiplies fastest, if wanted; by default on a GPU. A CPU gains by AVX-512 BF16."""
    on_gpu = device.type == "cuda"
    if not (on_gpu if requested is None else requested):
        return None
    if on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16
