"""Compiled runtime: a whole step of SpikeYOLO as one program of machine code, without calls of torch inside.

instruction_sets   what the processor can do
buffers            where activations lie
kernels            generators of code, by kind of operation; `epilogue` ends each, `emitter` writes it
convolutions       kernel, tile and packing of one convolution; `tiling`, `weights`
layout             the network as operations; `program` collects them in a table
driver             code that runs the table, alone or with other threads
object_code        machine code from LLVM, kept by `object_cache`
executor, threads  batches, arenas, helpers
network            the interface of the packed runtimes
"""
