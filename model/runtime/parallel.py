"""Parallel execution of numba kernels on torch's OpenMP threads.

A second thread pool would compete with torch's for the cores, because OpenMP workers spin for some time after
their work. So kernels run in the same pool, through the entry point that compilers emit for
`#pragma omp parallel`. If torch has no libgomp, they run on the calling thread alone.
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
"""Arguments of a kernel: first its task counter, then addresses and numbers."""

KERNEL_SIGNATURE: Any = types.void(types.CPointer(types.int64))  # type: ignore[no-untyped-call]
"""Signature of a kernel. All threads run it with the same arguments and claim tasks until none is left."""


@intrinsic
def _pointer(_context: Any, address: Any, dtype: Any) -> Any:
    """Cast `address` to a pointer to `dtype`."""
    pointer_type = types.CPointer(dtype.dtype)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer_type))

    return pointer_type(types.int64, dtype), emit


@intrinsic
def _next_index(_context: Any, arguments: Any) -> Any:
    """Return the next number of the counter, from 0; each number is returned to one thread only."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(arguments), emit


@intrinsic
def _atomic_add(_context: Any, address: Any, number: Any) -> Any:
    """Add an int64 to memory that is shared with other threads."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", *args, "monotonic")

    return types.int64(address, types.int64), emit


@intrinsic
def _float_from_bits(_context: Any, bits: Any) -> Any:
    """Reinterpret a uint32 as float32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), emit


@intrinsic
def _float_to_bits(_context: Any, number: Any) -> Any:
    """Reinterpret a float32 as uint32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), emit


# typed as Any, because the compiler passes the context argument of intrinsics
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
    """Let the calling thread compute with `threads` threads, and every other thread with one.

    libgomp keeps a pool for each thread that ever computed in parallel. If all pools together have more
    threads than there are cores, their threads sleep at barriers instead of spinning, and a step of scale t
    takes twice as long. So only one thread gets a pool.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()  # fixes the number of this thread, which torch reads only once
    openmp = _openmp()
    if openmp is None:
        torch.set_num_threads(threads)
    else:
        openmp.omp_set_num_threads(threads)


def run_parallel(kernel: Any, arguments: KernelArguments) -> None:
    """Run a compiled kernel on torch's threads and wait until all tasks are done."""
    arguments[0] = 0
    openmp = _openmp()
    if openmp is None:
        kernel.ctypes(arguments.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)))
    else:
        openmp.GOMP_parallel(kernel.address, arguments.ctypes.data, torch.get_num_threads(), 0)
