"""The whole program for 64-bit ARM under qemu-user: an image of all memory is mapped at its own addresses."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.runtime.compiled.abi import OP_FIELDS, SAMPLE_FIELDS, OpField, SampleField
from spikewatch.model.runtime.compiled.driver import build_driver, futex_number
from spikewatch.model.runtime.compiled.instruction_sets import INSTRUCTION_SETS, InstructionSet
from spikewatch.model.runtime.compiled.layout import NetworkLayout
from spikewatch.model.runtime.compiled.object_code import create_machine, optimise
from spikewatch.model.runtime.compiled.program import Program
from spikewatch.model.runtime.factorise import plain_network

TOOLS = ("qemu-aarch64", "aarch64-linux-gnu-gcc")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
"""Tools that are not installed: Debian's qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross."""

BASE = 0x20000000000
PAGE = 4096

MAIN = """
#include <stdio.h>
#include <sys/mman.h>
{declarations}
void run_sample(void *, long, void *);
static void *kernels[] = {{{kernels}}};
static const long samples[] = {{{samples}}};
int main(int count, char **names) {{
  char *image = mmap((void *){base}, {size}, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  FILE *file = fopen(names[1], "rb");
  if (fread(image, 1, {size}, file) != {size}) return 1;
  fclose(file);
  for (long i = 0; i < {operations}; i++) *(void **)(image + {table} + i * {row_bytes}) = kernels[i];
  for (long i = 0; i < {slices}; i++) run_sample(image + {whole}, 0, image + samples[i]);
  file = fopen(names[2], "wb");
  return fwrite(image, 1, {size}, file) != {size} || fclose(file);
}}
"""


def arm_target() -> InstructionSet:
    """NEON with dot products, for Linux on 64-bit ARM."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return replace(INSTRUCTION_SETS["neon_dotprod"], triple="aarch64-unknown-linux-gnu")


def arm_module(program: Program) -> tuple[Any, Any]:
    """The optimised module of a program with the driver, and LLVM's target machine."""
    module = ir.Module("arm")
    program.generate(module)
    build_driver(module, program.target, futex_number("Linux", "aarch64"))
    machine = create_machine(program.target)
    return optimise(module, program.target, machine), machine


class Image:
    """Memory under construction; addresses start at BASE."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, values: bytes, align: int = 64) -> int:
        """Append bytes; return their offset."""
        self.data.extend(bytes(-len(self.data) % align))
        offset = len(self.data)
        self.data.extend(values)
        return offset


class ArmProgram:
    """A network for ARM, from reset membranes."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._program = Program(arm_target(), bfloat16=False)
        self._layout = NetworkLayout(self._program, plain_network(detector.network), detector.layers)
        self._names = [layer.name for layer in detector.layers if layer.spiking]

    def run(
        self, frames: Tensor, folder: Path
    ) -> tuple[list[list[int]], list[list[Tensor]], dict[str, Tensor]]:
        """Run slices [T,P,h,w]; return counts [T][L], logits [T][3] and the last membranes."""
        image, program = Image(), self._program
        table = program.table()
        self._move_parameters(image, table)
        arena = np.zeros(program.arena.nbytes + PAGE, np.uint8)
        for buffer in program.infinite_buffers:
            arena[buffer.offset : buffer.offset + buffer.shape.nbytes].view(np.float32)[:] = -np.inf
        arena_at = image.put(arena.tobytes(), PAGE)
        banks = {
            name: image.put(bytes(4 * int(np.prod(shape))))
            for name, shape in self._detector.state_shapes.items()
        }
        for entry in program.bank_entries:
            first = banks[entry.neurons.name] + 4 * entry.first_channel
            table[entry.operation, OpField.BANK] = BASE + first
        counts = [image.put(bytes(8 * len(self._names))) for _ in frames]
        outputs = [image.put(bytes(program.output_bytes)) for _ in frames]
        samples = []
        for frame, count, output in zip(frames, counts, outputs, strict=True):
            sample = np.zeros(SAMPLE_FIELDS, np.int64)
            sample[SampleField.ARENA], sample[SampleField.COUNTS] = BASE + arena_at, BASE + count
            sample[SampleField.FRAME] = BASE + image.put(frame.contiguous().numpy().tobytes())
            sample[SampleField.OUTPUT] = BASE + output
            samples.append(image.put(sample.tobytes()))
        table_at = image.put(table.tobytes())
        whole = np.zeros(OP_FIELDS, np.int64)
        whole[OpField.SOURCE], whole[OpField.WEIGHT] = BASE + table_at, len(table)
        whole_at = image.put(whole.tobytes())
        image.put(bytes(2 * PAGE))
        self._build(folder, image, table_at, whole_at, samples)
        after = self._execute(folder, image)
        state = {
            name: self._floats(after, banks[name], (height, width, channels)).permute(2, 0, 1)
            for name, (channels, height, width) in self._detector.state_shapes.items()
        }
        found = [after[at : at + 8 * len(self._names)].view(np.int64).tolist() for at in counts]
        return found, [self._logits(after, at) for at in outputs], state

    def _move_parameters(self, image: Image, table: Any) -> None:
        """Copy weights and constants, and let the table point to the copies."""
        moved = []
        for array in self._program.memory._arrays:
            start = array.ctypes.data + -array.ctypes.data % 64
            aligned = array[start - array.ctypes.data :]
            moved.append((start, start + len(aligned), BASE + image.put(aligned.tobytes()) - start))
        for row in table:
            for field in (OpField.WEIGHT, OpField.SCALE, OpField.BIAS, OpField.NEURON):
                if row[field]:
                    row[field] += next(shift for start, stop, shift in moved if start <= row[field] < stop)

    def _build(self, folder: Path, image: Image, table: int, whole: int, samples: list[int]) -> None:
        names = list(self._program.kernel_names)
        source = MAIN.format(
            declarations="\n".join(f"void {name}(void);" for name in sorted(set(names))),
            kernels=", ".join(names),
            samples=", ".join(map(str, samples)),
            base=BASE,
            size=len(image.data),
            operations=len(names),
            table=table,
            row_bytes=8 * OP_FIELDS,
            whole=whole,
            slices=len(samples),
        )
        module, machine = arm_module(self._program)
        (folder / "kernels.o").write_bytes(machine.emit_object(module))
        (folder / "main.c").write_text(source)
        inputs = [folder / "main.c", folder / "kernels.o"]
        subprocess.run([TOOLS[1], "-O1", "-static", "-w", "-o", folder / "main", *inputs, "-lm"], check=True)

    def _execute(self, folder: Path, image: Image) -> Any:
        (folder / "before").write_bytes(image.data)
        command = [TOOLS[0], "-cpu", "max", folder / "main", folder / "before", folder / "after"]
        subprocess.run(command, check=True)
        return np.frombuffer((folder / "after").read_bytes(), np.uint8)

    def _logits(self, after: Any, output: int) -> list[Tensor]:
        levels = []
        for level in self._layout.levels:
            shape = level.buffer.shape
            at = output + level.buffer.offset
            values = self._floats(after, at, (shape.height, shape.width, shape.channels))
            levels.append(values[..., : level.channels].permute(2, 0, 1))
        return levels

    @staticmethod
    def _floats(after: Any, at: int, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(after[at : at + 4 * int(np.prod(shape))].view(np.float32).copy()).view(shape)
