"""Code for 64-bit ARM: cross-compiled everywhere, and run by an emulator where there is one."""

from pathlib import Path

import pytest
import torch

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.runtime.compiled.buffers import Layout
from spikewatch.model.runtime.compiled.convolutions import add_conv
from spikewatch.model.runtime.compiled.program import Destination, Program, Target
from spikewatch.model.runtime.factorise import plain_conv
from tests.model.support.aarch64 import MISSING, ArmProgram, arm_module, arm_target
from tests.model.support.fakes import event_like_frames, small_detector
from tests.model.support.runtimes import on


def test_byte_products_are_dot_products_of_neon() -> None:
    program = Program(arm_target(), bfloat16=False)
    source, out = program.buffer(Layout.SPIKES, 4, 8, 32, 1), program.output_buffer(4, 8, 32)
    conv = torch.nn.Conv2d(32, 32, 3, padding=1)
    add_conv(program, "conv", plain_conv(conv), source, (4, 8), 4, Destination(logits=Target(out)))
    module, machine = arm_module(program)
    lines = machine.emit_assembly(module).splitlines()
    tile = next(iter(program._kernels))[0]
    # 16 sums are four vectors, and each is one instruction
    assert sum("sdot" in line for line in lines) >= 4 * tile.pixels * tile.vectors  # type: ignore[attr-defined]
    assert not any("\tsmull" in line or "\tsdiv" in line for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed")
@pytest.mark.parametrize(
    "config",
    [SpikeYOLOConfig("t"), SpikeYOLOConfig("t", d_max=255, beta_mode="learned", input_gain=0.5)],
    ids=["default", "bytes-beyond-127"],
)
def test_emulated_arm_equals_int8(config: SpikeYOLOConfig, tmp_path: Path) -> None:
    reference = on("int8", small_detector(config=config))
    frames = event_like_frames(3, reference.spec)
    counts, logits, state = ArmProgram(reference).run(frames, tmp_path)
    expected = reference.init_state()
    for t, frame in enumerate(frames.split(1)):
        out = reference.step(frame, expected)
        expected = out.state
        assert counts[t] == [int(n[0]) for n in out.spikes.values()]
        assert all(torch.equal(a[0], b) for a, b in zip(out.logits, logits[t], strict=True))
    assert all(torch.equal(h[0], state[name]) for name, h in expected.items())
    assert sum(counts[-1])
