"""Runtimes: the same step by other arithmetic.

    eager    the network as it was built; any device, any variant; the reference
    fp32     batch norm folded, convolutions packed for oneDNN, one kernel for each I-LIF
    int8x2   as fp32, but spikes are bytes and their kernels two signed bytes a weight
    int8     as int8x2 with one signed byte a weight
    half     on a GPU: batch norm folded, kernels and spikes in float16, a step as one CUDA graph

I-LIF activations are the integers 0..D, so a byte or a float16 holds them exactly: int8 rounds weights only,
half weights and currents.
"""
