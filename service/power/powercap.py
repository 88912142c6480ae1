"""Energy counters of processors and memory: Linux powercap (RAPL of Intel and AMD).

Source: https://docs.kernel.org/power/powercap/powercap.html. The kernel exposes one folder a zone, such as
`intel-rapl:0` (a package) and `intel-rapl:0:0` (its cores). A zone includes its children. Most virtual
machines have no zones. Since Linux 5.10 only root may read `energy_uj`, and container engines hide the tree.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
UJ_PER_J = 1e6

log = logging.getLogger("spikewatch.power")


@dataclass(slots=True)
class Zone:
    """One counter.

    Attributes:
        domain: name of the zone below that of its parent, such as `package-0/core`.
        file: `energy_uj`.
        range_uj: value at which the counter starts again at 0.
        last_uj: latest value.
        total_uj: energy since the first reading.
    """

    domain: str
    file: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    @property
    def is_package(self) -> bool:
        """True for a whole processor package, the zone that is split by CPU time."""
        return "/" not in self.domain and self.domain.startswith("package")

    def update(self) -> None:
        """Read the counter. It may have passed its range once since the last call."""
        value = int(self.file.read_text())
        passed = value - self.last_uj
        self.total_uj += passed if passed >= 0 else passed + self.range_uj
        self.last_uj = value


class Powercap:
    """All readable zones of a machine.

    Call `joules` more often than the counters pass their range: 15 minutes at 300 W for a common 262 kJ.

    Args:
        root: folder of the zones, all in it (`/sys/class/powercap`) or nested (`/sys/devices/virtual`).

    Attributes:
        name: label `source` of the metrics.
        reason: why there is nothing to measure; empty if there is.
    """

    name = "powercap"

    def __init__(self, root: Path = POWERCAP) -> None:
        self.reason = ""
        self._zones: dict[str, Zone] = {}
        self._folders = {folder.name: folder for folder in sorted(root.rglob("*:*"))}
        for name in sorted(self._folders):
            self._add_zone(name)
        if not self._zones and not self.reason:
            self.reason = f"{root} has no energy counters (most virtual machines have none)"

    def joules(self) -> dict[str, float]:
        """Return joules since the start by domain. Domains overlap: a package includes its cores."""
        return {zone.domain: zone.total_uj / UJ_PER_J for zone in self._update()}

    def package_joules(self) -> dict[str, float]:
        """Return the latest joules of whole packages, without reading again."""
        return {zone.domain: zone.total_uj / UJ_PER_J for zone in self._zones.values() if zone.is_package}

    def _add_zone(self, name: str) -> None:
        """Add a zone. The same domain under a second control type (`intel-rapl-mmio`) counts once."""
        folder = self._folders[name]
        file = folder / "energy_uj"
        try:
            domain = "/".join(self._domain_names(name))
            range_uj = int((folder / "max_energy_range_uj").read_text())
            zone = Zone(domain, file, range_uj, last_uj=int(file.read_text()))
        except PermissionError:
            self.reason = f"{file} is readable by root only"
        except (KeyError, OSError, ValueError):  # a zone that only caps power
            return
        else:
            self._zones.setdefault(domain, zone)

    def _domain_names(self, name: str) -> Iterator[str]:
        """Yield the names of the zones on the path to this one: `intel-rapl:0`, then `intel-rapl:0:1`."""
        control_type, *numbers = name.split(":")
        for count in range(1, len(numbers) + 1):
            zone = self._folders[":".join([control_type, *numbers[:count]])]
            yield (zone / "name").read_text().strip()

    def _update(self) -> Iterator[Zone]:
        for zone in list(self._zones.values()):
            try:
                zone.update()
            except (OSError, ValueError) as error:
                log.warning("energy counter %s is gone: %s", zone.domain, error)
                del self._zones[zone.domain]
                continue
            yield zone
