"""Measured energy of the machine: processors by Linux powercap, GPUs by NVML; never added to estimates."""
