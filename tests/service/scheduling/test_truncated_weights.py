"""A weights file that its operator writes over while the service loads it."""

import subprocess
import sys
from pathlib import Path

from tests.service.support.many import save, third_detector
from tests.service.support.process import ROOT

CUT_WHILE_LOADED = """
import sys
from pathlib import Path
from spikewatch.model.checkpoints import checkpoint

path, build = Path(sys.argv[1]), checkpoint.build_network

def cut(config):
    path.write_bytes(b"")
    return build(config)

checkpoint.build_network = cut
print(checkpoint.load_checkpoint(path).spec.name)
"""


def test_file_truncated_during_load_does_not_crash(tmp_path: Path) -> None:
    """Pages of a mapped file that has become shorter are a SIGBUS, which takes all sessions with it."""
    file = save(tmp_path / "weights", third=third_detector()) / "third.safetensors"
    command = [sys.executable, "-c", CUT_WHILE_LOADED, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "thrice\n"), done.stderr
