"""Batch-norm statistics of averaged weights, recomputed on training batches."""

from collections.abc import Iterable

import torch
from torch import nn

from spikewatch.model.network.base import Network
from spikewatch.model.training.learner.unroll import StreamState, Unroll
from spikewatch.model.training.loader.batch import Batch


@torch.no_grad()
def recompute_batch_norm(
    network: Network, slices: int, batches: Iterable[Batch], streams: StreamState
) -> None:
    """Replace all running means and variances by those over `batches`.

    The averaged network was never run in training, so the average of the running statistics differs from its
    own statistics. In a spiking network this difference changes which neurons fire (Wu and Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021, section 3.1).

    Args:
        network: the averaged network; in evaluation mode afterwards.
        slices: T, see `Unroll`.
        batches: at least one batch, on the network's device.
        streams: initial state of the streams.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean over all batches
    unroll = Unroll(network.train(), slices)
    for batch in batches:
        _, streams = unroll(batch.frames / batch.levels, batch.is_first, streams)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
