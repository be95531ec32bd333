"""OUT: where a sweep writes, and what lies in it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.store import Store
from wsshm.files.location import Location


@dataclass(frozen=True)
class Place:
    """A sweep's folder; `shared_stages` where its stages lie elsewhere, with other sweeps'."""

    out: Location
    shared_stages: str | None = None

    @property
    def store(self) -> Store:
        """The results store."""
        return Store(str(self.out / "store"))

    @property
    def stages(self) -> Location:
        """Trained stages by address."""
        return Location.of(self.shared_stages) if self.shared_stages else self.out / "stages"

    @property
    def plan(self) -> Location:
        """The resolved plan."""
        return self.out / "plan.yaml"

    @property
    def planned(self) -> Location:
        """The runs that are known beforehand: a JSON mapping of ids to label, configuration and stages' addresses."""
        return self.out / "runs.json"

    @property
    def claim(self) -> Location:
        """Who runs a sweep here now."""
        return self.out / "sweep.json"

    @property
    def ended(self) -> Location:
        """Why a sweep ended before its time: text."""
        return self.out / "ended.txt"

    def tell_end(self, why: str) -> None:
        """Leave the reason for `status`."""
        self.ended.write_text(why)

    @property
    def slots(self) -> Location:
        """The cluster's room for workers, as the sweep saw it last: JSON."""
        return self.out / "slots.json"

    @property
    def draws(self) -> Location:
        """What a search has drawn: one file a run."""
        return self.out / "draws"

    def model(self, run_id: str) -> Location:
        """A finished run's model."""
        return self.out / "models" / run_id

    def progress(self, run_id: str) -> Location:
        """A running run's progress file."""
        return self.out / "progress" / f"{run_id}.json"

    @property
    def tracebacks(self) -> Location:
        """What Python said when runs failed last; their rows hold one sentence each."""
        return self.out / "errors"

    def traceback(self, run_id: str) -> Location:
        """A failed run's traceback."""
        return self.tracebacks / f"{run_id}.txt"
