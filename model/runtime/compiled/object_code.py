"""From LLVM IR to machine code in memory, by way of an object that can be cached."""

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.object_cache import ObjectCache

OPTIMISATION = 2


def create_machine(target: InstructionSet) -> Any:
    """Return LLVM's target machine of an instruction set."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.Target.from_triple(target.triple) if target.triple else llvm.Target.from_default_triple()
    return triple.create_target_machine(
        cpu=target.cpu, features=target.features, opt=OPTIMISATION, reloc="pic"
    )


def optimise(module: Any, target: InstructionSet, machine: Any) -> Any:
    """Verify and optimise a module; return it as LLVM's own."""
    module.triple = machine.triple
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    options = llvm.create_pipeline_tuning_options(speed_level=OPTIMISATION)
    passes.run(parsed, llvm.create_pass_builder(machine, options))
    return parsed


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause garbage collection: the many objects of a module would start it often, and are all in use."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class LoadedCode:
    """Machine code in executable memory, freed by `release`."""

    def __init__(self, code: bytes, machine: Any) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.nbytes = len(code)

    def address(self, name: str) -> int:
        """Return the address of a function.

        Raises:
            KeyError: there is no such function.
        """
        address: int = self._engine.get_function_address(name)
        if not address:
            raise KeyError(name)
        return address

    def function(self, name: str, *arguments: Any) -> Callable[..., None]:
        """Return a function for Python; calls release the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self.address(name))

    def release(self) -> None:
        """Free the code. Nothing of it can run afterwards."""
        self._engine.close()


def load_code(
    build: Callable[[Any], None], source: str, target: InstructionSet, cache: ObjectCache
) -> LoadedCode:
    """Return the code of a module, from the cache if it holds it.

    Args:
        build: writes functions into an empty module; called only if the cache does not hold them.
        source: all that `build` depends on.
        target: the instruction set.
        cache: where objects are kept.
    """
    machine = create_machine(target)
    identity = repr((source, machine.triple, target, OPTIMISATION, llvm.llvm_version_info))

    def compile_module() -> bytes:
        module = ir.Module("spikewatch")
        with _no_collections():
            build(module)
            optimised = optimise(module, target, machine)
        code: bytes = machine.emit_object(optimised)
        return code

    return LoadedCode(cache.get_or_create(identity, compile_module), machine)
