"""Parallel execution: only the thread that claims the cores computes in parallel."""

import subprocess
import sys

import pytest
import torch

PROGRAM = """
import threading
import torch
from spikewatch.model.runtime.parallel import claim_all_cores

def new_thread(action):
    found = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]

def worker():
    claim_all_cores(3)
    torch.ones(1 << 20).add_(1)
    return torch.get_num_threads()

def other():
    torch.ones(1 << 20).add_(1)
    return torch.get_num_threads()

print(new_thread(worker), torch.get_num_threads(), new_thread(other))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is torch's on Linux only")
def test_only_the_claiming_thread_computes_in_parallel() -> None:
    if not torch.backends.openmp.is_available():
        pytest.skip("torch without OpenMP")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # threads of: the one that asked, the main one, and one that came later
    assert done.stdout.split() == ["3", "1", "1"]
