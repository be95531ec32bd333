"""`wsshm sweep show PLAN --run RUN_ID`: a configuration that repeats one run. Light where the store knows the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench import provenance
from bench.store import Store
from sweeps.plan import RESOLVED_WEIGHTS, Plan, plan_of, plan_path
from wsshm.documents import load_document, mapping
from wsshm.errors import UserError, nearest
from wsshm.files.location import Location


def open_plan(name: str, assignments: list[str] | None = None) -> tuple[Plan, dict[str, str], str]:
    """A plan by name, path or URI, the weights' origins that a sweep's own OUT/plan.yaml remembers, and where its
    store is looked for.
    """
    if "://" in name:
        place = Location.of(name)
        document, folder = _read(place), replace(place, path=place.path.rpartition("/")[0])
    else:
        document, folder = load_document(plan_path(name)), Location.of(plan_path(name).parent)
    plan = plan_of(document, f"the plan {name}", assignments)
    usual = folder / "store" if RESOLVED_WEIGHTS in document else Path("runs") / plan.name / "store"
    return plan, document.get(RESOLVED_WEIGHTS) or {}, str(usual)


def _read(place: Location) -> dict[str, Any]:
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {place}; check the address") from None
    except OSError as error:
        raise UserError(f"{place} cannot be read ({' '.join(str(error).split())}); check the address") from None
    return mapping(content, str(place))


def repeat(plan: Plan, weights: dict[str, str], store: Location, prefix: str) -> str:
    """YAML that `wsshm train` takes to train the plan's run whose id starts with `prefix`, under a comment that says
    where it is from. A run of the store counts first; UserError if there is none or several.
    """
    rows = _rows(store)
    found = _matches(prefix, rows)
    if found:
        row = rows[found[0]]
        versions = {name: v for name, v in json.loads(row["versions"] or "{}").items() if v}
        dirty = ", with uncommitted changes" if row["git_dirty"] else ""
        commit, status = f"{row['git_commit'] or 'unknown'}{dirty}", f"{row['status']} in {store}"
        document, run_id = json.loads(row["config"]), found[0]
    else:
        from sweeps.expand import expand

        runs = {run.run_id: run for run in expand(plan, weights, drawn=False)}
        found = _matches(prefix, runs)
        if not found:
            known = [*rows, *runs]
            remedy = nearest(prefix, known) if known else f"see wsshm sweep show {plan.name}"
            raise UserError(f"no run of the plan {plan.name} has an id that starts with {prefix!r}; {remedy}")
        run_id, status = found[0], f"not in {store} yet"
        document = runs[run_id].config.model_dump(mode="json")
        commit, versions = provenance.git_state()[0] or "unknown", {k: v for k, v in provenance.versions().items() if v}
    header = [
        f"run {run_id} of the plan {plan.name}, {status}",
        f"suite's commit {commit}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"repeat it: wsshm train THIS_FILE --out runs/{run_id}",
    ]
    return "".join(f"# {line}\n" for line in header) + yaml.safe_dump(document, sort_keys=False)


def _rows(place: Location) -> dict[str, dict[str, Any]]:
    """The store's runs that have a configuration, by id."""
    store = Store(str(place))
    if not store.exists():
        return {}
    rows = store.read("runs", ["run_id", "status", "config", "versions", "git_commit", "git_dirty"])
    rows = rows[rows["config"].notna()].astype(object)
    records = rows.where(pd.notna(rows), None).to_dict("records")
    return {str(record["run_id"]): {str(key): value for key, value in record.items()} for record in records}


def _matches(prefix: str, ids: dict[str, Any]) -> list[str]:
    """The one id that starts with `prefix`, or none. UserError where several do."""
    found = [run_id for run_id in ids if run_id.startswith(prefix)]
    if len(found) > 1 and prefix not in found:
        raise UserError(
            f"{len(found)} runs have ids that start with {prefix!r} ({', '.join(found[:4])}); give more of the id"
        )
    return [prefix] if prefix in found else found
