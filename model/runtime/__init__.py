"""Runtimes: the same step by other arithmetic.

    eager    the network as it was built; any device, any variant; the reference
    fp32     batch norm folded, convolutions packed for oneDNN, one kernel for each I-LIF
    int8x2   as fp32, but spikes are bytes and their kernels two signed bytes a weight
    int8     as int8x2 with one signed byte a weight

I-LIF activations are the integers 0..D, so a byte holds them exactly: int8 rounds weights only.
"""
