"""Choose a sweep's best model on the validation set, and the commands to run next."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import graded
from bench.store import Store
from reports.load import flatten
from sweeps.objectives import last_errors
from sweeps.place import Place
from sweeps.plan import Plan
from sweeps.variation import OWN_COLUMNS, shown, varying
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location
from wsshm.methods import described
from wsshm.models.folder import BEST

# Runs whose validation differs in any of these are not compared: an error at another size is another error.
SAME_VALIDATION = ("root", "val", "size", "procedural")


@dataclass(frozen=True)
class Best:
    """The finished run with the lowest error on the validation set, of `among` that may be compared."""

    run_id: str
    label: str
    key: str
    value: float
    among: int
    drawn: bool
    """Whether it has seen the embedded data set's drawn people only."""


def best_run(plan: Plan, store: Store, run_ids: Collection[str]) -> Best | None:
    """The best of these finished runs by the plan's first objective that is an error; no controls. None where none is.

    None as well where the runs were validated in different ways. The test set is never looked at.
    """
    key = next((name for name in plan.search.objectives if name.startswith("val_")), "val_sad")
    rows = graded.with_grades(
        store.read("runs", ["run_id", "status", "method", "mattes", *graded.COLUMNS, "seed", "config"])
    )
    control = rows["method"].map(lambda method: described(method).control).astype(bool)
    rows = rows[rows["run_id"].isin(set(run_ids)) & (rows["status"] == "finished") & ~control]
    errors = last_errors(store, set(rows["run_id"]))
    contenders = [row for row in rows.itertuples() if math.isfinite(errors.get(row.run_id, {}).get(key, math.nan))]
    documents = {row.run_id: json.loads(row.config) for row in contenders}
    data = {run_id: document["data"] for run_id, document in documents.items()}
    if len({json.dumps([d[name] for name in SAME_VALIDATION], sort_keys=True) for d in data.values()}) != 1:
        return None
    best = min(contenders, key=lambda row: (errors[row.run_id][key], row.run_id))
    counts = (f"{shown(row, 'all')} {noun}" for row, noun in ((best.mattes, "mattes"), (best.masks, "masks")))
    drawn = all(data[best.run_id][name].startswith("procedural/") for name in ("mattes", "masks"))
    own = flatten(documents[best.run_id])
    apart = (f", {key.rpartition('.')[2]} {shown(own.get(key))}" for key in varying(documents.values(), OWN_COLUMNS))
    label = f"{best.method}, {', '.join(counts)}, seed {shown(best.seed)}{''.join(apart)}"
    return Best(best.run_id, label, key, errors[best.run_id][key], len(contenders), drawn)


def record_best(place: Place, best: Best | None) -> None:
    """Write OUT/best.json, by which `wsshm predict OUT` finds the model, or remove it if there is none."""
    file = place.out / BEST
    if best is None:
        file.delete()
    else:
        file.write_text(json.dumps({"run_id": best.run_id, "by": best.key, "value": best.value}))


def next_steps(place: Place, best: Best | None) -> list[str]:
    """Lines for the end of a sweep: the best model and commands that run as they stand (but for the photo's name)."""
    table = f"  wsshm report table {_typed(place.out / 'store')}"
    if best is None:
        return ["next:", table]
    model = _typed(place.model(best.run_id))
    rank = "of the only run" if best.among == 1 else f"the lowest of {best.among} runs"
    found = [
        f"best model: {model}",
        f"  {best.label}: {best.key} {best.value:.4g} on the validation set, {rank}",
    ]
    if fault := _fault(place.model(best.run_id)):
        again = "its rows stay; to train it again, give the sweep's command another --out"
        return [*found, f"  it cannot be used: {fault}; {again}", "next:", table]
    lines = [
        *found,
        "next:",
        f"  wsshm predict {model} photo.jpg --out mattes",
        table,
    ]
    if best.drawn:
        lines.append("it has seen drawn people only, not photos; to train on your own: wsshm data prepare --help")
    return lines


def _fault(model: Location) -> str:
    """What keeps a model from being read, or nothing: its files may have been altered since the run ended."""
    from wsshm.models.checkpoint import check_model

    with TemporaryDirectory(prefix="wsshm-") as scratch:
        try:
            check_model(model.fetched(Path(scratch)))
        except UserError as error:
            return str(error).partition(";")[0]
    return ""


def _typed(place: Location) -> str:
    """A path as typed in a shell: quoted, and relative if it lies below the working directory."""
    local = place.local
    if local is not None and local.is_relative_to(os.getcwd()):
        return shlex.quote(str(local.relative_to(os.getcwd())))
    return shlex.quote(redacted(place))
