"""Runtimes: optimised implementations of one network step.

    eager    the PyTorch network itself; any device, any variant; the reference
    fp32     batch norm folded, convolutions packed for oneDNN, one kernel for each I-LIF
    int8x2   as fp32, but with spikes as bytes and two signed bytes for each weight that spikes meet
    int8     as int8x2, with one signed byte for each weight
    compiled the arithmetic of int8 as one program of machine code, made when weights are loaded
    half     on a GPU: batch norm folded, weights and spikes in float16, one CUDA graph for each step

I-LIF activations are the integers 0..D, which a byte or a float16 represents exactly. So int8 and
compiled round weights only, and half rounds weights and currents.
"""
