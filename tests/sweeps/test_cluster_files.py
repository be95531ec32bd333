"""The files in sweeps/clusters: valid for what reads them, of one Ray version, and every command in them a true one."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from bench import provenance
from sweeps.cli import app
from sweeps.cluster import Ask
from sweeps.plan import load_plan
from wsshm.config import RunConfig, parse

CHECKOUT = provenance.CHECKOUT
CLUSTERS = CHECKOUT / "sweeps" / "clusters"
SCHEMAS = Path(os.environ.get("KUBERAY_SCHEMAS", CHECKOUT.parent / "shared" / "kuberay"))  # ray.io_*.yaml of KubeRay
KUBERAY = {"RayJob": "rayjob.yaml", "RayCluster": "raycluster.yaml"}
RAY = re.search(r"^ray==(.+)$", (CHECKOUT / "constraints.txt").read_text(), re.MULTILINE)[1]  # type: ignore[index]


def document(kind: str) -> dict[str, Any]:
    """The Ray resource in one of our files."""
    documents = yaml.safe_load_all((CLUSTERS / KUBERAY[kind]).read_text())
    return next(d for d in documents if d["kind"] == kind)


def cluster_spec(kind: str) -> dict[str, Any]:
    spec = document(kind)["spec"]
    return spec["rayClusterSpec"] if kind == "RayJob" else spec


def pods(kind: str) -> dict[str, dict[str, Any]]:
    """The pods' specifications by the group's name."""
    spec = cluster_spec(kind)
    groups = {"head": spec["headGroupSpec"]} | {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    return {name: group["template"]["spec"] for name, group in groups.items()}


@functools.cache
def closed_schema(kind: str) -> jsonschema.Draft202012Validator:
    """KubeRay's schema of a resource, with unknown keys refused: Kubernetes itself would drop them without a word."""
    file = SCHEMAS / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        pytest.skip(f"no {file}; name a folder with KubeRay's CRDs by KUBERAY_SCHEMAS")
    versions = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
    schema = next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: {name: _closed(part) for name, part in value.items()} if key == "properties" else _closed(value)
        for key, value in schema.items()
    }
    if "properties" in result and not result.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


@pytest.mark.parametrize("kind", KUBERAY)
def test_kuberay_files_are_valid_with_unknown_keys_refused(kind: str) -> None:
    closed_schema(kind).validate(document(kind))


def _typo(*path: str | int) -> Callable[[dict], None]:
    """A change that misspells the last key of a path."""

    def change(root: dict) -> None:
        for key in path[:-1]:
            root = root[key]  # type: ignore[index]
        root[f"{path[-1]}x"] = root.pop(path[-1])  # type: ignore[arg-type]

    return change


POD = ("headGroupSpec", "template", "spec")
WORKER = ("workerGroupSpecs", 0, "template", "spec")


@pytest.mark.parametrize(
    "change",
    [
        _typo("rayVersion"),
        _typo("authOptions", "mode"),
        _typo("enableInTreeAutoscaling"),
        _typo("autoscalerOptions", "idleTimeoutSeconds"),
        _typo("workerGroupSpecs", 0, "maxReplicas"),
        _typo(*WORKER, "tolerations"),
        _typo(*WORKER, "tolerations", 0, "effect"),
        _typo(*WORKER, "containers", 0, "resources", "limits"),
        _typo(*WORKER, "containers", 0, "volumeMounts"),
        _typo(*POD, "volumes", 1, "emptyDir", "sizeLimit"),
        _typo(*POD, "volumes", 0, "persistentVolumeClaim", "claimName"),
        _typo(*POD, "securityContext", "fsGroup"),
        lambda spec: spec["authOptions"].update(mode="tokens"),
        _typo(*WORKER, "securityContext", "seccompProfile"),
        _typo("gcsFaultToleranceOptions", "redisAddress"),
        lambda spec: spec["workerGroupSpecs"][0].update(replicas="2"),
        lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
    ],
)
def test_a_typo_is_caught(change: Callable[[dict], None]) -> None:
    broken = copy.deepcopy(document("RayCluster"))
    change(broken["spec"])
    with pytest.raises(jsonschema.ValidationError):
        closed_schema("RayCluster").validate(broken)


def test_both_kuberay_files_describe_the_same_cluster() -> None:
    """But for what outlives a lost head, which a job's cluster does not need to."""
    standing = dict(document("RayCluster")["spec"])
    host, port = standing.pop("gcsFaultToleranceOptions")["redisAddress"].split(":")
    assert cluster_spec("RayJob") == standing
    service, deployment, policy = yaml.safe_load_all((CLUSTERS / "redis.yaml").read_text())
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert (service["metadata"]["name"], service["spec"]["ports"]) == (host, [{"port": int(port)}])
    assert service["spec"]["selector"] == labels == policy["spec"]["podSelector"]["matchLabels"]


def all_pods() -> list[dict[str, Any]]:
    """The specifications of every pod that the files for Kubernetes make."""
    job = document("RayJob")["spec"]["submitterPodTemplate"]["spec"]
    _, deployment, _ = yaml.safe_load_all((CLUSTERS / "redis.yaml").read_text())
    return [job, deployment["spec"]["template"]["spec"], *(pod for kind in KUBERAY for pod in pods(kind).values())]


def test_a_restricted_namespace_admits_every_pod() -> None:
    """Kubernetes' standard `restricted`: https://kubernetes.io/docs/concepts/security/pod-security-standards."""
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert len(all_pods()) == 6
    containers = [container for pod in all_pods() for container in pod["containers"]]
    containers += [cluster_spec(kind)["autoscalerOptions"] for kind in KUBERAY]
    for container in containers:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert not any("hostPort" in port for port in container.get("ports", []))
    for pod in all_pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= volumes


@pytest.mark.parametrize("kind", KUBERAY)
def test_what_deletes_a_cluster_deletes_no_results(kind: str) -> None:
    kept = {d["kind"]: d for d in yaml.safe_load_all((CLUSTERS / "namespace.yaml").read_text())}
    assert {d["kind"] for d in yaml.safe_load_all((CLUSTERS / KUBERAY[kind]).read_text())} == {kind}
    assert set(kept) == {"PersistentVolumeClaim", "PodDisruptionBudget"}
    assert kept["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(kind).values():
        claimed = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert claimed == [kept["PersistentVolumeClaim"]["metadata"]["name"]]


@pytest.mark.parametrize("kind", KUBERAY)
def test_kuberay_clusters_have_gpus_shared_storage_and_shared_memory(kind: str) -> None:
    spec = cluster_spec(kind)
    assert spec["rayVersion"] == RAY
    assert spec["authOptions"] == {"mode": "token"}
    for pod in pods(kind).values():
        (container,) = pod["containers"]
        assert container["image"].endswith(f":{RAY}")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounted["/dev/shm"]["emptyDir"]["medium"] == "Memory"
        assert "persistentVolumeClaim" in mounted["/shared"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
    head, gpu = pods(kind)["head"], pods(kind)["gpu"]
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert gpu["tolerations"]
    (group,) = spec["workerGroupSpecs"]
    assert 0 == group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
    store = int(group["rayStartParams"]["object-store-memory"])
    assert store <= _bytes(next(v for v in gpu["volumes"] if v["name"] == "shm")["emptyDir"]["sizeLimit"]) / 2


def _bytes(quantity: str) -> int:
    return int(quantity.removesuffix("Gi")) * 2**30


def test_the_launchers_file_is_valid() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((CLUSTERS / "ray-launcher.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["docker"]["image"].endswith(f":{RAY}")
    assert any("--shm-size" in option for option in config["docker"]["run_options"])
    assert "--env NVIDIA_VISIBLE_DEVICES=all" in config["docker"]["worker_run_options"]
    for change in (_typo("docker", "run_options"), _typo("available_node_types", "gpu", "node_config"), _typo("auth")):
        broken = copy.deepcopy(config)
        change(broken)
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            validate_config(prepare_config(broken))


def commands() -> list[tuple[str, list[str]]]:
    """Every `wsshm sweep ...` that is written in the files, in comments too, with the name of its file."""
    found = []
    for file in sorted(CLUSTERS.iterdir()):
        text = re.sub(r"\\\n#?", " ", file.read_text())
        if file.suffix == ".yaml":
            for resource in yaml.safe_load_all(text):
                if resource.get("kind") == "RayJob":
                    found.append((file.name, shlex.split(resource["spec"]["entrypoint"])[2:]))
        for line in text.splitlines():
            match = re.match(r"#\s+(?:.*&& )?wsshm sweep (.+)$", line)
            if match:
                found.append((file.name, shlex.split(match[1])))
            match = re.match(r"#\s+sbatch (?:--\S+ )*sweeps/clusters/slurm\.sh (.+)$", line)
            if match:
                found.append((file.name, ["run", *shlex.split(match[1])]))
    return found


def test_every_command_in_the_files_is_a_true_one() -> None:
    known = typer.main.get_command(app)
    assert {file for file, _ in commands()} == {*KUBERAY.values(), "ray-launcher.yaml", "slurm.sh"}
    for file, (name, *arguments) in commands():
        command = known.commands[name]  # type: ignore[attr-defined]
        with command.make_context(name, arguments) as context:
            values = context.params
        if "plan" in values:
            assert load_plan(values["plan"], values["assignments"]).name == values["plan"], file


MACHINES = {"g5.2xlarge": {"CPU": 8.0, "GPU": 1.0}}  # AWS's own figures


def workers_of(file: str) -> list[dict[str, float]]:
    """What the nodes that train have, in a file's cluster at its largest."""
    if file == "slurm.sh":
        asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\d+)$", (CLUSTERS / file).read_text(), re.MULTILINE))
        node = {"CPU": float(asked["cpus-per-task"]), "GPU": float(asked["gpus-per-node"])}
        return [node] * int(asked["nodes"])
    if file == "ray-launcher.yaml":
        config = yaml.safe_load((CLUSTERS / file).read_text())
        group = config["available_node_types"]["gpu"]
        return [MACHINES[group["node_config"]["InstanceType"]]] * group["max_workers"]
    kind = next(kind for kind, name in KUBERAY.items() if name == file)
    (group,) = cluster_spec(kind)["workerGroupSpecs"]
    limits = pods(kind)["gpu"]["containers"][0]["resources"]["limits"]
    return [{"CPU": float(limits["cpu"]), "GPU": float(limits["nvidia.com/gpu"])}] * group["maxReplicas"]


def on_gpus() -> dict[str, list[str]]:
    """The shipped plans that run on GPUs, each with the settings that its head names for them."""
    found = {}
    for file in sorted((CHECKOUT / "sweeps" / "plans").glob("*.yaml")):
        text = file.read_text()
        line = re.search(r"^# On a GPU: (.+)$", text, re.MULTILINE)
        if line:
            found[file.stem] = [word for word in shlex.split(line[1]) if word != "--set"]
        elif "gpus_per_worker: 1" in text:
            found[file.stem] = []
    return found


def used_gpus(plan: str, settings: list[str], nodes: list[dict[str, float]]) -> float:
    """How many GPUs a plan's runs take at once; the plan's own data need not be there."""
    config = parse(load_plan(plan, settings).base, RunConfig)
    ask = Ask.of(config)
    return ask.at_once(nodes) * ask.most * config.train.gpus_per_worker


@pytest.mark.parametrize("file", [*KUBERAY.values(), "ray-launcher.yaml", "slurm.sh"])
@pytest.mark.parametrize(("plan", "settings"), on_gpus().items())
def test_every_shipped_plan_takes_every_gpu(file: str, plan: str, settings: list[str]) -> None:
    nodes = workers_of(file)
    assert used_gpus(plan, settings, nodes) == sum(node["GPU"] for node in nodes) >= 8


def test_the_commands_in_the_files_take_every_gpu() -> None:
    for file, (name, *arguments) in commands():
        settings = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
        if name in ("run", "submit"):
            nodes = workers_of(file)
            assert used_gpus(arguments[0], settings, nodes) == sum(node["GPU"] for node in nodes), file


def test_the_image_is_built_from_files_that_are_there() -> None:
    text = re.sub(r"\\\n", " ", (CLUSTERS / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    sources = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert set(sources) == {
        "constraints.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "wsshm",
        "bench",
        "sweeps",
        "reports",
    }
    for name in sources:
        assert (CHECKOUT / name).exists(), name
    let_through = {line.removeprefix("!") for line in (CLUSTERS / "Dockerfile.dockerignore").read_text().splitlines()}
    assert set(sources) <= let_through
    for line in lines:
        for name in re.findall(r"(?:-c|-r) (\S+)", line):
            assert Path(name).name in sources
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(sources)
    assert project["requires-python"] == ">=3.11"
    assert lines[0].startswith("FROM python:3.11-")
    assert lines[-1].endswith("RAY_AUTH_MODE=token")
    assert lines.index("USER ray") > max(i for i, line in enumerate(lines) if line.startswith("COPY"))
    assert f"wsshm-bench:{RAY} " in text


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", str(CLUSTERS / "slurm.sh")], check=True)


FAKE_SCONTROL = """#!/bin/bash
[[ $1 == show && $2 == hostnames ]] && printf '%s\\n' one two
"""
FAKE_SRUN = """#!/bin/bash
# Runs the command once, here, whatever node it was meant for.
echo "srun $*" >> "$SRUN_CALLS"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_the_slurm_script_runs_a_sweep_on_two_nodes(tmp_path: Path) -> None:
    """Both nodes are this machine: `srun` and `scontrol` are stand-ins, Ray is real."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("scontrol", FAKE_SCONTROL), ("srun", FAKE_SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM_"))} | {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SRUN_CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "2",
        "STORE": "100000000",
        "OUT": str(tmp_path / "out"),
        "OMP_NUM_THREADS": "1",
    }
    status, said = _run_script(environment, tmp_path)
    if "timed out during startup" in said:  # Ray gives itself 30 s, which a busy machine may not keep: submit it again
        status, said = _run_script(environment, tmp_path)
    assert status == 0, said
    assert "2 nodes, no fault" in said
    assert "1 run finished, 0 failed" in said
    head, workers = (tmp_path / "calls").read_text().splitlines()[-2:]
    assert "--nodelist=one" in head
    assert "--head" in head
    assert "--nodes=1 --ntasks=1 --exclude=one" in workers
    assert (tmp_path / "out" / "report" / "index.html").is_file()


def _run_script(environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run slurm.sh with the plan `smoke` in a process group of its own; returns its exit status and what it said."""
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            ["bash", str(CLUSTERS / "slurm.sh"), "smoke"],
            cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        status = process.wait(timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree("/tmp/ray-4711", ignore_errors=True)
    return status, (folder / "log").read_text()
