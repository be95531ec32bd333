"""`wsshm sweep stages`: what a sweep has trained, stage by stage, and what of it can go."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.store import SETTLED, Store, stages_in
from sweeps.expand import expand
from sweeps.place import Place
from sweeps.plan import Plan
from sweeps.planned import read_planned
from sweeps.status import open_sweep, read_status
from sweeps.variation import console, table
from wsshm.blended_labels.labels import RECIPE as LABELS_RECIPE
from wsshm.config import RunConfig
from wsshm.console import duration
from wsshm.errors import UserError, redacted
from wsshm.files.claims import STALE_S, Claim
from wsshm.files.location import Location
from wsshm.files.sealed import Damaged
from wsshm.methods.stage import LABELS, Stage
from wsshm.models.checkpoint import STATE
from wsshm.training.stages import RESULT, StageFolder

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")  # as `wsshm.files.location` calls a folder that is not whole yet
OWN_NAMES = ("final", "claim.json")
Planned = dict[str, tuple[Stage, RunConfig]]


@dataclass(frozen=True)
class Found:
    """A folder among the stages. `kind`: done | damaged | half | empty | labels (made ahead for a stage) | other (foreign)."""

    folder: StageFolder
    kind: str
    name: str
    about: str
    state: str
    held: bool
    sizes: tuple[int, int]
    modified: float
    users: tuple[str, ...]

    @property
    def address(self) -> str:
        """The stage's address."""
        return self.folder.place.name


def list_stages(out: Location) -> None:
    """Print what lies in a sweep's stages, or in those that it shares."""
    _, _, place = open_sweep(out)
    found = inventory(place, _planned(place))
    rows = table("stage", "name", "what", "state", ">size", ">age", "used by")
    for item in found:
        users = ", ".join(item.users[:3]) + (f" and {len(item.users) - 3} more" if len(item.users) > 3 else "")
        age = duration(time.time() - item.modified) if item.modified else ""
        rows.add_row(item.address, item.name, item.about, item.state, _bytes(item.sizes[0]), age, users or "no run yet")
    screen = console()
    screen.print(rows)
    done = sum(item.kind == "done" for item in found)
    screen.print(
        f"{redacted(place.stages)}: {done} stages trained, {len(found) - done} other, {_bytes(sum(f.sizes[0] for f in found))}"
    )


def prune(out: Location, shared: bool = False, dry_run: bool = False) -> None:
    """Remove the stages that no unfinished run of the sweep needs, and what killed runs left, and print them.

    Finished runs have their models in OUT/models, which stay. Raises UserError for stages that other sweeps may share,
    unless `shared` says that none of them will go on.
    """
    plan, weights, place = open_sweep(out)
    if plan.stages and not shared:
        raise UserError(
            f"the stages of {out} lie in {place.stages}, where other sweeps may need them; once all of those are complete,"
            " give --shared as well"
        )
    found = inventory(place)
    keep = needed(plan, weights, place, found)
    goes = [item for item in found if item.kind != "other" and item.address not in keep and not item.held]
    screen = console()
    done, freed, there = "would remove" if dry_run else "removed", 0, sum(item.sizes[0] for item in found)
    stay = len(found)
    for item in goes:
        if not dry_run and not _remove(item.folder.claim, [item.folder.place]):
            screen.print(
                f"kept {item.address} {item.name}: another process has just claimed it, or left a damaged"
                f" {item.folder.claim.place.name}; rerun the command in {duration(STALE_S)}",
                soft_wrap=True,
            )
            continue
        stay -= 1
        freed += item.sizes[1]
        screen.print(f"{done} {item.address} {item.name} ({_bytes(item.sizes[0])})")
    for claim, leftovers in _leftovers(place, [item for item in found if item not in goes]):
        sizes = [_sizes(leftover) for leftover in leftovers]
        if not dry_run and not _remove(claim, leftovers):
            continue
        freed += sum(size[1] for size in sizes)
        there += sum(size[0] for size in sizes) if claim.place == place.claim else 0  # beside the stages
        for leftover, (size, _) in zip(leftovers, sizes, strict=True):
            screen.print(f"{done} leftover of a killed run: {leftover} ({_bytes(size)})", soft_wrap=True)
    held = sum(item.held for item in found)
    screen.print(
        f"{'would free' if dry_run else 'freed'} {_bytes(freed)} of {_bytes(there)};"
        f" {stay} of {len(found)} stages stay"
        + (f", {held} of them being trained now" if held else "")
        + "; models of finished runs are in OUT/models",
        soft_wrap=True,
    )


def needed(plan: Plan, weights: dict[str, str], place: Place, found: Iterable[Found]) -> set[str]:
    """Addresses that runs which are not finished yet build on.

    What Optuna will draw is not known: until it is through, only the last stage of a single finished run goes.
    """
    settled = _settled(place.store)
    if plan.search.algorithm == "optuna":
        status = read_status(place.out)
        if not status.over or status.failed:
            last = {addresses[-1] for addresses in settled.values() if addresses}
            return {item.address for item in found if item.address not in last or len(item.users) != 1}
    stages = [
        entry for run in expand(plan, dict(weights), drawn=False) if run.run_id not in settled for entry in run.stages
    ]
    return {address for entry in stages for address in (entry.address, entry.labels) if address}


def inventory(place: Place, planned: Planned | None = None) -> list[Found]:
    """What lies among the stages; `planned` tells of those that are not trained yet what they are."""
    users: dict[str, list[str]] = {}
    for run_id, addresses in _settled(place.store).items():
        for address in addresses:
            users.setdefault(address, []).append(run_id)
    return [
        _look(StageFolder(place.stages, folder.name), planned or {}, tuple(users.get(folder.name, ())))
        for folder in place.stages.listing()
        if folder.is_folder()
    ]


def _look(folder: StageFolder, planned: Planned, users: tuple[str, ...]) -> Found:
    names = {entry.name for entry in folder.place.listing()}
    stage, config = planned.get(folder.place.name, (None, None))
    name, about = (
        (stage.name, described(stage, config.model.backbone, config.data.size)) if stage and config else ("", "")
    )
    modified, steps = 0.0, stage.steps if stage else None
    owner = folder.claim.owner()
    progress = None if folder.done else folder.state_progress()
    if folder.done:
        try:
            result, card = folder.result(), folder.card()
        except Damaged as damage:
            kind, state = "damaged", f"damaged ({damage}), retrained when a run needs it"
        else:
            known = Stage(**{key: value for key, value in result["stage"].items() if key in Stage.__dataclass_fields__})
            kind, name, about = "done", known.name, described(known, card.backbone, card.size)
            state = f"done, in {duration(result['seconds'])}"
        modified = (folder.final / RESULT).modified()
    elif progress is not None:
        kind, state = "half", f"half-trained at step {progress['step']}" + (f" of {steps}" if steps else "")
        modified = (folder.states()[-1] / STATE).modified()
    elif LABELS_RECIPE in names:
        # Counted: the recipe's own number lags behind while they are made, and where that was killed.
        kind, name, state = "labels", "labels", f"{len((folder.place / 'label').listing()):,} pictures"
        about, modified = "blended labels, made ahead", (folder.place / LABELS_RECIPE).modified()
    elif foreign := [n for n in names if n not in OWN_NAMES and not n.startswith(("state-", "claim."))]:
        kind, state = "other", f"not a stage (holds {', '.join(sorted(foreign)[:3])})"
    else:
        kind, state = "empty", "no checkpoint yet"
    if owner:
        host = f"{owner['host']}:{owner['pid']}"
        state = f"being trained by {host}" + (f", {state}" if kind == "half" else "") if kind != "done" else state
    return Found(folder, kind, name, about, state, owner is not None, _sizes(folder.place), modified, users)


def described(stage: Stage, backbone: str, size: int) -> str:
    """What a stage is trained from, in a few words."""
    label = LABELS.find(stage.photo_label) if stage.photo_label else None
    photos = f"photos with {label.about if label else stage.photo_label}"
    mixed = f"{stage.matte_share:.0%} mattes, else {photos}"
    data = "mattes" if not stage.uses_photos else photos if not stage.uses_mattes else mixed
    return f"{backbone}, {size} px, {stage.steps:,} steps on {data}"


def _remove(claim: Claim, places: Iterable[Location]) -> bool:
    """Remove what lies under a claim, unless somebody has taken that since it was looked at."""
    if not claim.try_take():
        return False
    for place in places:
        place.delete()
    claim.release()
    return True


def _leftovers(place: Place, stay: Iterable[Found]) -> list[tuple[Claim, list[Location]]]:
    """What writers left that were killed, each with the claim that a living writer would hold.

    Temporary folders of stages and of models, and training states of stages that are trained.
    """
    found = []
    for item in stay:
        if item.kind == "other" or item.held:
            continue
        inside = item.folder.place
        leftovers = _temporary(inside)
        if item.kind == "done":
            leftovers += [entry for entry in inside.listing() if entry.name.startswith("state-")]
        found.append((item.folder.claim, leftovers))
    sweep = Claim(place.claim)
    if sweep.owner() is None:
        found.append((sweep, _temporary(place.out / "models")))
    return [(claim, leftovers) for claim, leftovers in found if leftovers]


def _temporary(folder: Location) -> list[Location]:
    """Folders that were to become one of `folder`'s; an object store has none."""
    if not folder.local or not folder.local.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder.local)) if TEMPORARY.fullmatch(name)]


def _planned(place: Place) -> Planned:
    """The stages of every run that is known beforehand, by address."""
    runs = [run.addressed() for run in (read_planned(place) or {}).values()]
    return {address: (stage, config) for config, stages in runs for stage, address in stages}


def _settled(store: Store) -> dict[str, list[str]]:
    """The addresses of the stages of each run that is never run again, in order."""
    if not store.exists():
        return {}
    rows = store.read("runs", ["run_id", "status", "stages"])
    rows = rows[rows["status"].isin(SETTLED)]
    stages = (stages_in(column) if column is not None else {} for column in rows["stages"])
    return {run: list(addresses.values()) for run, addresses in zip(rows["run_id"], stages, strict=True)}


def _sizes(folder: Location) -> tuple[int, int]:
    """(bytes of a folder, bytes that its removal frees: a file that a finished run's model links to stays)."""
    total = freed = 0
    for file, size in folder.files():
        total += size
        with contextlib.suppress(FileNotFoundError):  # replaced by its trainer just now
            freed += size if not file.local or file.local.stat().st_nlink == 1 else 0
    return total, freed


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
