"""Export of weights under the official names, for the authors' code; `import_official` reads them back."""

from pathlib import Path

import torch

from spikewatch.model.checkpoints.official_names import DFL_NAME, official_tensor_names
from spikewatch.model.network.base import Network
from spikewatch.model.network.plan import DFL_BINS


def export_official(network: Network, path: Path) -> None:
    """Write `{"model": {official name: tensor}}` with torch.save, in the precision of the network.

    Raises:
        ConfigError: the network is a variant without official names.
    """
    names = official_tensor_names(network)
    tensors = {names[name]: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    tensors[DFL_NAME] = torch.arange(DFL_BINS, dtype=torch.float32).reshape(1, DFL_BINS, 1, 1)
    torch.save({"model": tensors}, path)
