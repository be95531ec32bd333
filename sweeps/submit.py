"""A sweep as a job of a cluster: checked here first, sent with its code, its log followed, its exit status passed on.

What `wsshm sweep submit` does beyond `ray job submit -- python -m sweeps run PLAN`: it refuses mistakes before they
cost cluster time, carries the commit, sends a plan file wherever it lies, and goes on following after a lost connection.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import provenance
from sweeps.jobs import Cluster, IdTaken, exit_status, to_stdout
from sweeps.package import biggest, packed_files, write_package
from sweeps.plan import Plan, configurations, load_plan, plan_path
from wsshm import __version__, plugins
from wsshm.config import RunConfig, parse
from wsshm.documents import load_document
from wsshm.errors import UserError, redacted

PLAN_FOLDER = "submitted"
LARGE_BYTES = 50e6
WEIGHTS_WORDS = ("auto", "none", "hub", "package")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baggage:
    """What the user wants a job to take along, as given on the command line.

    `working_dir` is a folder or a zip file's URI; without one the checkout that this code runs from is sent, or nothing
    where the suite is an installed package, which the nodes then have as well. `pip` is a requirements file or a
    comma-separated list, `runtime_env` a YAML file with Ray's runtime environment, `env` are KEY=VALUE.
    """

    working_dir: str | None = None
    env: tuple[str, ...] = ()
    pip: str | None = None
    runtime_env: Path | None = None

    def pack(self, plan_file: Path | None, scratch: Path) -> dict[str, Any]:
        """Ray's runtime environment, its package written into `scratch`; logs what is sent."""
        environment = load_document(self.runtime_env) if self.runtime_env else {}
        given = self.working_dir or environment.pop("working_dir", None)
        patterns = environment.pop("excludes", None) or ()
        environment["env_vars"] = self._variables(environment.get("env_vars") or {}, given)
        if self.pip:
            environment["pip"] = self.pip if Path(self.pip).is_file() else self.pip.split(",")
        added = {f"{PLAN_FOLDER}/{plan_file.name}": plan_file} if plan_file else {}
        added |= _plugins(environment["env_vars"])
        if given and "://" in given:
            if added:
                raise UserError(
                    f"the file {next(iter(added.values()))} cannot be added to the package {given}; give a folder by"
                    " --working-dir, or leave it out"
                )
            return environment | {"working_dir": given}
        folder = Path(given) if given else _checkout()
        files = (packed_files(folder, patterns) if folder else {}) | added
        if not files:
            log.info("sending no files: the nodes have wsshm-bench %s installed, as this machine has", __version__)
            return environment
        target = scratch / "package.zip"
        size = write_package(files, target)
        large = f": {', '.join(biggest(files))}" if target.stat().st_size > LARGE_BYTES else ""
        beside = "".join(f" and {path.name}" for path in added.values())
        log.info("sending %s from %s%s%s", size, folder or "here", beside, large)
        return environment | {"working_dir": str(target)}

    def _variables(self, known: dict[str, Any], given: str | None) -> dict[str, str]:
        variables = {str(key): str(value) for key, value in known.items()}
        for assignment in self.env:
            key, equals, value = assignment.partition("=")
            if not equals or not key:
                raise UserError(f"--env takes KEY=VALUE, not {assignment!r}")
            variables[key] = value
        code = _checkout() if given is None else Path(given) if _holds_code(Path(given)) else None
        commit, dirty = provenance.git_state(code) if code else (None, None)
        if commit:  # a node's copy of the code has no repository that could be asked
            variables.setdefault("WSSHM_GIT_COMMIT", commit)
            if dirty is not None:
                variables.setdefault("WSSHM_GIT_DIRTY", str(int(dirty)))
        return variables


def submit_plan(
    name: str,
    address: str,
    out: str | None = None,
    assignments: Iterable[str] = (),
    baggage: Baggage | None = None,
    submission_id: str | None = None,
    wait: bool = True,
) -> int:
    """Run a plan as a job of the cluster whose dashboard is at `address`; returns the exit status of `wsshm sweep run` there.

    The same plan with the same OUT while its job runs follows that job. Ctrl-C ends following, not the job. Raises
    UserError, before anything is sent, for a mistake in the plan or a path that the cluster cannot know.
    """
    assignments = list(assignments)
    plan = load_plan(name, assignments)
    cluster = Cluster.connect(address)
    out, more = _for_cluster(plan, out or f"runs/{plan.name}", cluster)
    assignments += more
    file = plan_path(name) if name.endswith((".yaml", ".yml")) else None
    there = f"{PLAN_FOLDER}/{file.name}" if file else name
    sets = [part for assignment in assignments for part in ("--set", assignment)]
    entrypoint = shlex.join(["python", "-m", "sweeps", "run", there, "--out", out, *sets])
    job = Job(cluster, plan.name, entrypoint, out, {"plan": plan.name, "plan_hash": _hash(plan), "out": out})
    job_id = job.already_running()
    if redacted(entrypoint) != entrypoint:
        log.warning(
            "the address holds a password or key, which the cluster's dashboard shows to all who may see it; leave it out"
            " and give it by --env (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    if job_id is None:
        job_id = job.start(submission_id, baggage or Baggage(), file)
    else:
        log.info("job %s already runs this", job_id)
    log.info("results: %s; dashboard: %s", out, cluster.dashboard(job_id))
    if not wait:
        to_stdout(f"{job_id}\n")
        log.info("follow it: %s", cluster.command("logs --follow", job_id))
        return 0
    return job.attend(job_id)


@dataclass(frozen=True)
class Job:
    """A command to run on a cluster under a name, with what tells it from others in `metadata`."""

    cluster: Cluster
    name: str
    entrypoint: str
    out: str
    metadata: dict[str, str]

    def already_running(self) -> str | None:
        """The id of a job that runs the same now. UserError where another one is writing to the same OUT."""
        for job in self.cluster.jobs():
            known = job.metadata or {}
            if job.status.is_terminal() or known.get("out") != self.out:
                continue
            if job.entrypoint == self.entrypoint and known.get("plan_hash") == self.metadata.get("plan_hash"):
                return job.submission_id
            raise UserError(
                f"the job {job.submission_id} is writing to {self.out}; wait for it, stop it by"
                f" `{self.cluster.command('stop', str(job.submission_id))}`, or give another folder by --out"
            )
        return None

    def start(self, submission_id: str | None, baggage: Baggage, plan_file: Path | None = None) -> str:
        """Send it, and return its id: the one given, else NAME-N."""
        with tempfile.TemporaryDirectory() as scratch:
            environment = baggage.pack(plan_file, Path(scratch))
            known = environment["env_vars"]
            carried = {"git_commit": known.get("WSSHM_GIT_COMMIT"), "git_dirty": known.get("WSSHM_GIT_DIRTY")}
            metadata = {"version": __version__, **self.metadata}
            metadata |= {key: value for key, value in carried.items() if value is not None}
            while True:
                job_id = submission_id or self.cluster.free_id(self.name)
                try:
                    self.cluster.submit(job_id, self.entrypoint, environment, metadata | {"job_name": job_id})
                    break
                except IdTaken:
                    if submission_id:
                        raise
                    # Somebody was faster with the same number: take the next.
        log.info("submitted job %s: %s", job_id, self.entrypoint)
        return job_id

    def attend(self, job_id: str) -> int:
        """Follow a job to its end; returns its exit status. Ctrl-C says how to come back, and leaves it running."""
        try:
            info = self.cluster.follow(job_id, to_stdout)
        except KeyboardInterrupt:
            log.warning(
                "\nno longer following; the job %s goes on\nfollow it again: %s\nstop it: %s",
                job_id,
                self.cluster.command("logs --follow", job_id),
                self.cluster.command("stop", job_id),
            )
            raise
        status, sentence = exit_status(info)
        results = f"; results: {self.out}" if "plan" in self.metadata else ""
        log.info("%s: %s%s", job_id, sentence, results)
        return status


def local_names(plan: Plan) -> dict[str, str]:
    """The files and folders of this machine that a plan names by a relative path, by their keys."""
    found: dict[str, str] = {}
    for config in [parse(plan.base, RunConfig), *configurations(plan)]:  # an optimiser's are drawn from the base later
        data = config.data
        names = {"mattes": data.mattes, "backgrounds": data.backgrounds, "masks": data.masks, "val": data.val}
        names |= {"test": next((t for t in data.test if _relative(t)), None)}
        if data.root is not None and _relative(data.root):
            found["data.root"] = data.root
        elif data.root is None:
            found |= {f"data.{key}": name for key, name in names.items() if name and _relative(name)}
        if config.model.weights not in WEIGHTS_WORDS and _relative(config.model.weights):
            found["model.weights"] = config.model.weights
    return found


def _for_cluster(plan: Plan, out: str, cluster: Cluster) -> tuple[str, list[str]]:
    """OUT as the cluster can use it, and assignments that do the same for the plan's data.

    Where the cluster is this machine, relative paths are made absolute (a job starts in a folder of its own). Elsewhere
    they mean nothing, and are refused.
    """
    names = local_names(plan)
    shared = plan.model_dump().get("stages")
    relative = _relative(out)
    if not (relative or names or (shared and _relative(shared))):
        return out, []
    if not cluster.is_this_machine():
        here = Path.cwd()
        if relative:
            raise UserError(
                f"--out {out} is relative, which means nothing on a cluster; give an absolute folder on storage that all"
                f" its nodes share, or a URI such as s3://bucket/{plan.name}"
            )
        key, value = next(iter(names.items()), ("stages", shared))
        remedy = f"if all its nodes see {here}, add --set base.data.root={here}" if key != "stages" else ""
        remedy = f"add --set base.{key}={here / str(value)}" if key in ("data.root", "model.weights") else remedy
        remedy = remedy or f"add --set stages={here / str(value)}"
        raise UserError(
            f"the plan names {key} by the relative path {value!r}, and pictures and weights are not sent to a cluster;"
            f" {remedy}, or another place on shared storage"
        )
    more = []
    if any(key.startswith("data.") for key in names):
        more.append(f"base.data.root={Path(names.get('data.root', '.')).resolve()}")
    if "model.weights" in names:
        more.append(f"base.model.weights={Path(names['model.weights']).resolve()}")
    if shared and _relative(shared):
        more.append(f"stages={Path(shared).resolve()}")
    return (str(Path(out).expanduser().resolve()) if relative else out), more


def _plugins(variables: dict[str, str]) -> dict[str, Path]:
    """The user's files that WSSHM_PLUGINS names here, by their places in the package, with the job's variable set to them.

    There they are modules: a job's processes find the package on their path, whatever folder they start in.
    """
    if plugins.VARIABLE in variables:
        return {}
    files, entries = {}, []
    for number, entry in enumerate(plugins.named()):
        if plugins.is_file(entry):
            module = f"plugin_{number}_{re.sub(r'[^a-zA-Z0-9]', '_', Path(entry).stem)}"
            files[f"{PLAN_FOLDER}/{module}.py"] = Path(entry)
            entry = f"{PLAN_FOLDER}.{module}"
        entries.append(entry)
    if entries:
        variables[plugins.VARIABLE] = ",".join(entries)
    return files


def _relative(name: str) -> bool:
    return not (name.startswith(("/", "procedural/")) or "://" in name)


def _checkout() -> Path | None:
    """The folder of this code, where it is a checkout and not an installed package."""
    return provenance.CHECKOUT if (provenance.CHECKOUT / "pyproject.toml").is_file() else None


def _holds_code(folder: Path) -> bool:
    return (folder / "sweeps" / "__main__.py").is_file()


def _hash(plan: Plan) -> str:
    return hashlib.sha256(yaml.safe_dump(plan.model_dump(mode="json")).encode()).hexdigest()[:16]


def submit_preflight(out: str, address: str, baggage: Baggage, options: Iterable[str] = ()) -> int:
    """Run `python -m sweeps preflight --out OUT` with more `options` as a job; returns its exit status."""
    cluster = Cluster.connect(address)
    if _relative(out):
        raise UserError(f"--out {out} is relative, which means nothing on a cluster; give an absolute folder or a URI")
    entrypoint = shlex.join(["python", "-m", "sweeps", "preflight", "--out", out, *options])
    job = Job(cluster, "preflight", entrypoint, out, {})
    return job.attend(job.start(None, baggage))
