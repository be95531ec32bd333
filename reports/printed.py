"""Commands that are printed, each of which runs as it stands, on the data of the store that it is printed for.

A run's configuration says which data it was trained on. A command names that data, the network and the optimisation, so
that what it adds can be compared with what is there. Where the store does not say enough, there is no command.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reports.document import listed
from reports.load import FINISHED, Frames, as_document
from wsshm.console import set_option
from wsshm.errors import redacted
from wsshm.grades import from_text, shortest
from wsshm.keys import EXECUTION_KEYS
from wsshm.methods import is_unread

# Where and how fast, but not what: a command leaves them to the machine that it is typed on.
ELSEWHERE = (*EXECUTION_KEYS, "seed")
SOURCES = ("mattes", "backgrounds", "masks", "val", "test")
EMBEDDED = "procedural/"
FILL, ANSWER = "To fill this section", "To answer it"


def base_of(runs: pd.DataFrame, run_ids: Iterable[str] = ()) -> dict[str, Any] | None:
    """What the runs (of these ids; default all) were configured with, less labels, seed and machine: a plan's `base`.

    That of the data which most of them have, then of the last one; None where no configuration names its data.
    """
    wanted = set(run_ids)
    own = runs[runs["run_id"].isin(wanted)] if wanted else runs[~runs["external"]]
    documents = [as_document(text) for text in own["config"]]
    documents = [document for document in documents if document.get("data")]
    if not documents:
        return None
    texts = [str(document["data"]) for document in documents]
    most = max(dict.fromkeys(texts), key=texts.count)
    chosen = next(document for document, text in zip(reversed(documents), reversed(texts), strict=True) if text == most)
    sections = {
        key: dict(chosen[key]) for key in ("data", "model", "method", "train") if isinstance(chosen.get(key), dict)
    }
    data, method, train = (sections.get(key, {}) for key in ("data", "method", "train"))
    parts = _embedded(data)
    if not any(parts):
        data.pop("procedural", None)
    if parts and all(parts):
        data.pop("root", None)  # of whichever machine that was: no manifest is read from it
    for key in ELSEWHERE:
        train.pop(key, None)
    name = str(method.get("name"))
    sections["method"] = {key: value for key, value in method.items() if not is_unread(name, f"method.{key}")}
    return sections


def sweep(plan: str, base: dict[str, Any], **changes: object) -> str:
    """`wsshm sweep run PLAN` with another base and other keys of its root, in a folder of its own.

    Of the base only what is not at its default is printed.
    """
    from wsshm.keys import without_defaults  # only now: most tables print no command, and the typed models take time

    options = [set_option(key, value) for key, value in {"base": without_defaults(base), **changes}.items()]
    digest = hashlib.sha256(" ".join(options).encode()).hexdigest()[:6]
    return " ".join([f"wsshm sweep run {plan} --out runs/{plan}-{digest}", *options])


def fill(plan: str, frames: Frames, **changes: object) -> str:
    """The shipped plan that would fill a gap of the store, on the store's data and with as many labels as it has used.

    A store without runs has no data of its own: the plan as it is. Nothing where its runs do not say what they used.
    """
    own = frames.runs[~frames.runs["external"]]
    if own.empty:
        return f"wsshm sweep run {plan}"
    base, budget = base_of(own), most_labels(own)
    if base is None or budget is None:
        return ""
    # The method is the plan's matter; what a run of this store had beside its name may not go with it.
    base = {**base, "method": {"name": "mlb"}}
    return sweep(plan, base, **({"also": [], "budgets": [budget]} | changes))


def most_labels(runs: pd.DataFrame) -> dict[str, Any] | None:
    """The most mattes and masks that one run used together, as a plan's budget; None where no run used both."""
    finished = runs["status"] == FINISHED
    both = runs[(runs["mattes"] > 0) & (runs["masks"] > 0) & (finished if finished.any() else True)]
    if both.empty:
        return None
    row = both.sort_values(["mattes", "masks"], kind="stable").iloc[-1]
    masks = {grade: int(count) for grade, count in from_text(row["grades"], row["masks"]).items()}
    return {"mattes": int(row["mattes"]), "masks": shortest(masks)}


def timing(frames: Frames, networks: list[dict[str, str]], side: int) -> list[str]:
    """`wsshm bench speed` of these networks at `side` px, in the setting that most of the store's timings have."""
    ok = frames.speed["status"] == "ok"
    timed = frames.speed[ok if ok.any() else ok | True]
    settings: dict[str, str] = {}
    keys, default = ["precision", "engine", "layout"], ("fp32", "eager", "channels_last")
    ways = Counter(timed[keys].fillna(dict(zip(keys, default, strict=True))).itertuples(index=False, name=None))
    usual = max(ways, key=lambda way: (ways[way], way == default, way), default=default)
    for option, value, plain in zip(("precisions", "engines", "layout"), usual, default, strict=True):
        if value != plain:
            settings[option] = value
    if device := _most(timed["device"]):
        threads = re.search(r", (\d+) threads?$", device)
        settings |= {"threads": threads[1]} if threads else {"device": "cuda"}
    options = "".join(f" --{name} {value}" for name, value in settings.items())
    by_architecture: dict[str, list[str]] = {}
    for network in networks:
        by_architecture.setdefault(network["architecture"], []).append(network["backbone"])
    return [
        f"wsshm bench speed --models {','.join(dict.fromkeys(backbones))} --sizes {side}"
        f"{'' if architecture == 'unet' else f' --architecture {shlex.quote(architecture)}'}{options} --store {store(frames)}"
        for architecture, backbones in by_architecture.items()
    ]


def store(frames: Frames) -> str:
    """The store as a command takes it."""
    return shlex.quote(redacted(frames.root))


def with_pictures(frames: Frames) -> str:
    """`wsshm report build` with the manifest of the test pictures; nothing where they are the embedded set's, or unknown."""
    base = base_of(frames.runs)
    tests = (base or {}).get("data", {}).get("test") or []
    manifests = [str(name) for name in tests if not str(name).startswith(EMBEDDED)]
    if len(manifests) != 1 or base is None:
        return ""
    place = Path(str(base["data"].get("root") or "")) / manifests[0]
    return f"wsshm report build {store(frames)} --out report --manifest {shlex.quote(str(place))}"


def whole(frames: Frames, run_id: str) -> str:
    """`wsshm sweep show` of a run's configuration, by the plan that the store's sweep left beside it; else nothing."""
    plan = Path(frames.root).parent / "plan.yaml"
    if "://" in frames.root or not plan.is_file():
        return ""
    return f"wsshm sweep show {shlex.quote(str(plan))} --store {store(frames)} --run {run_id}"


def missing(what: str, command: str, otherwise: str = "", to: str = FILL) -> str:
    """A section's `missing`: what is absent, and the command that would fill it, else what to do in words."""
    return f"{what}. {to}: {command}" if command else f"{what}{f': {otherwise}' if otherwise else ''}"


def to_answer(command: str, otherwise: str) -> str:
    """What would answer a question: a command, else what to do in words; empty where neither is known."""
    return f"{ANSWER}: {command or otherwise}{'' if command else '.'}" if command or otherwise else ""


def seeds(counts: Iterable[float]) -> str:
    """Numbers of seeds as a clause: `one seed each`, `2 to 3 seeds each`."""
    found = sorted({int(count) for count in counts}) or [1]
    if found == [1]:
        return "one seed each"
    return f"{' to '.join(map(str, dict.fromkeys([found[0], found[-1]])))} seeds each"


def several(commands: list[str]) -> str:
    """Commands within a sentence."""
    return listed([f"`{command}`" for command in commands])


def _most(values: pd.Series) -> str:
    """The most frequent value."""
    return str(values.mode().iloc[0]) if values.notna().any() else ""


def _embedded(data: dict[str, Any]) -> list[bool]:
    """Of each part of the data that is named, whether it is of the set that the suite draws."""
    values = [data.get(key) for key in SOURCES]
    names = [name for value in values for name in (value if isinstance(value, list) else [value])]
    return [str(name).startswith(EMBEDDED) for name in names if name is not None]
