"""Energy and CO2 of a computation, estimated by codecarbon without the network.

The totals outlive a kill: they are written to a file all the while, and a resumed computation adds
to what it finds there.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from spinalroots.compute.parallel import at_once
from spinalroots.files import read_json, write_json

WRITE_EVERY_S = 10.0


@dataclass(frozen=True)
class Consumption:
    """`energy_kwh` of CPU, GPU and memory; `co2_kg` by the country's electricity mix."""

    seconds: float = 0.0
    energy_kwh: float = 0.0
    co2_kg: float = 0.0

    def __add__(self, other: Consumption) -> Consumption:
        return Consumption(
            self.seconds + other.seconds,
            self.energy_kwh + other.energy_kwh,
            self.co2_kg + other.co2_kg,
        )

    def shared(self, by: int) -> Consumption:
        """The part of one of so many computations that ran side by side for all these seconds."""
        return Consumption(self.seconds, self.energy_kwh / by, self.co2_kg / by)


class EnergyMeter:
    """Measures the whole machine while a `with` block lasts.

    Processes that :func:`spinalroots.compute.parallel.each` runs side by side count an equal share.

    :param country: ISO code of three letters whose electricity mix is used.
    :param journal: file with the totals so far; None: only this block counts.

    >>> with EnergyMeter("CHE") as meter:
    ...     found = sum(range(1000))
    >>> meter.total.energy_kwh > 0
    True
    """

    def __init__(self, country: str, journal: Path | None = None):
        from codecarbon import OfflineEmissionsTracker

        self.journal = journal
        self.shared_by = at_once()  # now: workers that this process starts later are its own
        found = read_json(journal) if journal and journal.is_file() else {}
        self.before = Consumption(**found)
        self.tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            log_level="critical",
            allow_multiple_runs=True,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_now_and_then, daemon=True)
        self.total = self.before

    def __enter__(self) -> EnergyMeter:
        self.tracker.start()
        if self.journal:
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._read()
        self.tracker.stop()

    def _read(self) -> None:
        self.tracker.flush()
        now = self.tracker._prepare_emissions_data()
        here = Consumption(now.duration, now.energy_consumed, now.emissions)
        self.total = self.before + here.shared(self.shared_by)
        if self.journal:
            write_json(self.journal, asdict(self.total))

    def _write_now_and_then(self) -> None:
        while not self._stop.wait(WRITE_EVERY_S):
            self._read()
