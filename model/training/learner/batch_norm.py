"""Batch-norm statistics of averaged weights, measured rather than averaged."""

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
    """Replace all running means and variances by those over some batches.

    A moving average of weights is no network that was ever run: the average of its statistics is not the
    statistics of the average, and in a spiking network the difference decides who fires (Wu and Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021, section 3.1).

    Args:
        network: left in evaluation mode.
        slices: T, see `Unroll`.
        batches: on the network's device, with at least one.
        streams: from rest.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all that follow
    run = Unroll(network.train(), slices)
    for batch in batches:
        _, streams = run(batch.frames / batch.levels, batch.is_first, streams)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
