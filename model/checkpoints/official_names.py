"""Names of layers and tensors in the official checkpoints of the paper's authors.

These are facts about a file format; no code of the authors is used.
"""

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network

DFL_NAME = "model.26.dfl.conv.weight"
"""Name of the constant 0 to 15 [1,16,1,1] in official checkpoints, which is not a tensor here."""

_ROWS = {
    "encoder": 1,
    "stage1": 2,
    "down1": 3,
    "stage2": 4,
    "down2": 5,
    "stage3": 6,
    "down3": 7,
    "stage4": 8,
    "sppf": 9,
    "lateral5": 10,
    "top_down4": 12,
    "lateral4": 14,
    "top_down3": 16,
    "merge3": 18,
    "out3": 19,
    "bottom_up3": 20,
    "out4": 22,
    "bottom_up4": 23,
    "out5": 25,
    "head": 26,
}

_ENCODER = {"conv": "encode_conv", "bn": "encode_bn", "lif": "encode_lif"}
_CONV = {"lif": "lif", "conv.conv": "conv", "conv.bn": "bn", "conv": "conv"}
_TOKEN = {
    "pw1.lif": "lif1",
    "pw1.conv.conv": "pwconv1",
    "pw1.conv.bn": "bn1",
    "dw2.lif": "lif2",
    "dw2.conv.conv": "dwconv2",
    "dw2.conv.bn": "bn2",
    "pw3.lif": "lif3",
    "pw3.conv.pad.bn": "pwconv3.body.0.bn",
    "pw3.conv.pw": "pwconv3.body.1.0",
    "pw3.conv.dw": "pwconv3.body.1.1",
    "pw3.conv.bn": "bn3",
}
_REP = {
    "conv.pw1": "conv{i}.body.0",
    "conv.pad.bn": "conv{i}.body.1.bn",
    "conv.dw": "conv{i}.body.2.0",
    "conv.pw2": "conv{i}.body.2.1",
    "conv.inner_bn": "conv{i}.body.2.2",
    "conv.bn": "bn{i}",
    "lif": "lif{i}",
}


def _block_name(path: str, row: int) -> str:
    """Return the official name of a path in an SNN block.

    Rows with re-parameterised channel mixers use other names for their parts.
    """
    part, rest = path.split(".", 1)
    if part == "token":
        return f"Conv.{_TOKEN[rest]}"
    if row in (6, 8, 12, 22, 25):
        return _REP[rest].format(i=part[-1])
    return f"{part}.{_CONV[rest]}"


def _module_name(path: str, repeats: dict[str, int]) -> str:
    """Return the official name of the module at `path`, a leaf or an I-LIF."""
    top, rest = path.split(".", 1)
    row = _ROWS[top]
    if top == "encoder":
        return f"{row}.{_ENCODER[rest]}"
    if top.startswith("down"):
        return f"{row}.{_ENCODER[rest.removeprefix('conv.')]}"
    if top == "head":
        branch, level, part, tail = rest.split(".", 3)
        group = {"box": "cv2", "cls": "cv3"}[branch]
        position = {"conv1": 0, "conv2": 1, "out": 2}[part]
        return f"{row}.{group}.{level}.{position}.{_CONV[tail]}"
    if top == "sppf":
        part, tail = rest.split(".", 1)
        return f"{row}.{ {'reduce': 'cv1', 'merge': 'cv2'}[part] }.{_CONV[tail]}"
    if top.startswith("stage"):
        index, tail = rest.split(".", 1)
        prefix = f"{row}.{index}" if repeats[top] > 1 else str(row)
        return f"{prefix}.{_block_name(tail, row)}"
    if top.startswith(("top_down", "out")):
        return f"{row}.{_block_name(rest, row)}"
    return f"{row}.{_CONV[rest]}"


def official_layer_names(network: Network) -> dict[str, str]:
    """Return layer name -> official name of its I-LIF, such as `model.2.Conv.lif1`."""
    repeats = _stage_repeats(network)
    names = (n.removesuffix(".lif") for n, _ in network.named_modules() if n.endswith(".lif"))
    return {name: f"model.{_module_name(f'{name}.lif', repeats)}" for name in names}


def official_tensor_names(network: Network) -> dict[str, str]:
    """Return name of each tensor in the state dict -> its name in an official checkpoint."""
    repeats = _stage_repeats(network)
    names: dict[str, str] = {}
    for name in network.state_dict():
        module, tensor = name.rsplit(".", 1)
        names[name] = f"model.{_module_name(module, repeats)}.{tensor}"
    return names


def _stage_repeats(network: Network) -> dict[str, int]:
    if not network.config.is_baseline:
        raise ConfigError(
            f"{network.config.architecture}: only the paper's SpikeYOLO has official names, not its variants"
        )
    return {f"stage{i + 1}": n for i, n in enumerate(network.config.stage_repeats)}
