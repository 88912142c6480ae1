"""Our weights under the official names, for use with the authors' code; `import_official` reads them back."""

from pathlib import Path

import torch

from spikewatch.model.checkpoints.official_names import DFL_NAME, official_tensor_names
from spikewatch.model.network.base import Network
from spikewatch.model.network.head import DFL_BINS


def export_official(network: Network, path: Path) -> None:
    """Write `{"model": {official name: tensor}}` by torch.save, in the precision of the network.

    Raises:
        ConfigError: a variant of the network that has no official names.
    """
    names = official_tensor_names(network)
    tensors = {names[ours]: tensor.detach().cpu() for ours, tensor in network.state_dict().items()}
    tensors[DFL_NAME] = torch.arange(DFL_BINS, dtype=torch.float32).reshape(1, DFL_BINS, 1, 1)
    torch.save({"model": tensors}, path)
