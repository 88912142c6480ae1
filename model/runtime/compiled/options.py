"""Options of compilation, from the environment where the caller gives none."""

import os
from dataclasses import dataclass
from pathlib import Path

from spikewatch.model.runtime.compiled.instruction_sets import AUTO

INSTRUCTION_SET_VARIABLE = "SPIKEWATCH_INSTRUCTION_SET"
CACHE_VARIABLE = "SPIKEWATCH_KERNEL_CACHE"

NO_CACHE = "off"


def _default_cache() -> Path | None:
    """Return the folder in the user's cache; None if the user has no home."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(cache) if cache else Path.home() / ".cache") / "spikewatch" / "kernels"
    except RuntimeError:
        return None


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options of the compiled runtime.

    Attributes:
        instruction_set: name in `instruction_sets.NAMES`.
        cache: folder of compiled objects; empty: one in the user's cache; `off`: none.
    """

    instruction_set: str = AUTO
    cache: str = ""

    @staticmethod
    def from_environment() -> "CompileOptions":
        """Return the options in SPIKEWATCH_INSTRUCTION_SET and SPIKEWATCH_KERNEL_CACHE."""
        return CompileOptions(
            os.environ.get(INSTRUCTION_SET_VARIABLE, AUTO), os.environ.get(CACHE_VARIABLE, "")
        )

    @property
    def cache_folder(self) -> Path | None:
        """Return the folder of compiled objects, or None if they are not kept."""
        if self.cache == NO_CACHE:
            return None
        return Path(self.cache) if self.cache else _default_cache()
