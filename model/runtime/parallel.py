"""Numba kernels on the threads that torch computes with.

A thread pool of their own would fight torch's for the cores: an OpenMP worker spins for a while after its
work, waiting for more. So kernels are handed to the same pool, by the entry point that compilers emit for
`#pragma omp parallel`. Where torch brings no libgomp, they run on the calling thread alone.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

KernelArguments = npt.NDArray[np.int64]
"""What a kernel is given: the first is its counter of tickets, the rest addresses and numbers."""

KERNEL_SIGNATURE: Any = types.void(types.CPointer(types.int64))  # type: ignore[no-untyped-call]
"""Signature of a kernel. All threads run it with the same arguments, and draw tickets until none is left."""


@intrinsic
def _pointer(_context: Any, address: Any, dtype: Any) -> Any:
    """`address` as a pointer to `dtype`."""
    kind = types.CPointer(dtype.dtype)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.int64, dtype), emit


@intrinsic
def _next_index(_context: Any, arguments: Any) -> Any:
    """The next number from 0, each to one thread only."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(arguments), emit


@intrinsic
def _atomic_add(_context: Any, address: Any, number: Any) -> Any:
    """Add an int64 to memory that other threads add to as well."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", *args, "monotonic")

    return types.int64(address, types.int64), emit


@intrinsic
def _float_from_bits(_context: Any, bits: Any) -> Any:
    """The float32 whose memory reads as this uint32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), emit


@intrinsic
def _float_to_bits(_context: Any, number: Any) -> Any:
    """The memory of a float32, read as uint32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), emit


# intrinsics take their context from the compiler, which type checkers cannot know
pointer: Any = _pointer
next_index: Any = _next_index
atomic_add: Any = _atomic_add
float_from_bits: Any = _float_from_bits
float_to_bits: Any = _float_to_bits


@cache
def _openmp() -> ctypes.CDLL | None:
    path = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.GOMP_parallel.restype = library.omp_set_num_threads.restype = None
    library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.omp_set_num_threads.argtypes = (ctypes.c_int,)
    return library


def claim_all_cores(threads: int) -> None:
    """Let the calling thread compute with so many threads, and all others alone.

    libgomp keeps a pool of threads for each thread that ever computed in parallel. Once all pools together
    have more threads than there are cores, they no longer spin at their barriers but sleep, and a step of
    scale t takes twice as long. So one thread has a pool, and the others have none.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread's own number is set when it first asks, and not again
    openmp = _openmp()
    if openmp is None:
        torch.set_num_threads(threads)
    else:
        openmp.omp_set_num_threads(threads)


def run_parallel(kernel: Any, arguments: KernelArguments) -> None:
    """Run a compiled kernel on torch's threads; returns when all tickets are done."""
    arguments[0] = 0
    openmp = _openmp()
    if openmp is None:
        kernel.ctypes(arguments.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)))
    else:
        openmp.GOMP_parallel(kernel.address, arguments.ctypes.data, torch.get_num_threads(), 0)
