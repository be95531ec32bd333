"""Sweeps as jobs: what is sent, what is refused before, how a log is followed, and which exit status comes back."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests
from ray.util import get_node_ip_address

from bench import provenance
from sweeps import jobs, package
from sweeps.submit import Baggage, submit_plan
from tests.sweeps.fake_cluster import FakeCluster, running
from wsshm import plugins
from wsshm.errors import UserError

CHECKOUT = provenance.CHECKOUT


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    """A job server of two nodes without a token; the user has none either."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_HEADERS", "WSSHM_GIT_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # Ray would let it win over the address that was given
    with running(FakeCluster()) as fake:
        yield fake


def sent(cluster: FakeCluster) -> dict[str, bytes]:
    """The files of the one package that was uploaded."""
    (content,) = cluster.packages.values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_job_carries_code_commit_and_plan(cluster: FakeCluster, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "git_state", lambda folder=None: ("abc123", True))
    assert submit_plan("smoke", cluster.address, "/shared/smoke", ["base.train.lr=1e-3"]) == 0
    job = cluster.jobs["smoke-1"]
    assert job["entrypoint"] == "python -m sweeps run smoke --out /shared/smoke --set base.train.lr=1e-3"
    assert job["runtime_env"]["env_vars"] == {"WSSHM_GIT_COMMIT": "abc123", "WSSHM_GIT_DIRTY": "1"}
    told = {key: job["metadata"][key] for key in ("job_name", "plan", "out", "git_commit", "git_dirty")}
    assert told == {
        "job_name": "smoke-1", "plan": "smoke", "out": "/shared/smoke", "git_commit": "abc123", "git_dirty": "1"
    }  # fmt: skip
    names = sent(cluster)
    assert {"sweeps/__main__.py", "wsshm/cli.py", "bench/store.py", "sweeps/plans/smoke.yaml"} <= set(names)
    assert not [name for name in names if name.startswith(".git/") or "__pycache__" in name]
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_the_same_content_is_sent_once(cluster: FakeCluster) -> None:
    for out in ("/shared/a", "/shared/b"):
        submit_plan("smoke", cluster.address, out)
    assert sorted(cluster.jobs) == ["smoke-1", "smoke-2"]
    assert len(cluster.packages) == 1


def test_a_plan_file_travels_from_wherever_it_lies(cluster: FakeCluster, tmp_path: Path) -> None:
    plan = tmp_path / "my plan.yaml"
    plan.write_text("name: mine\nbase: {train: {steps: 8, teacher_steps: 4}}\n")
    submit_plan(str(plan), cluster.address, "/shared/mine")
    assert cluster.jobs["mine-1"]["entrypoint"] == ("python -m sweeps run 'submitted/my plan.yaml' --out /shared/mine")
    assert sent(cluster)["submitted/my plan.yaml"] == plan.read_bytes()


def test_plugins_travel_as_modules_that_every_process_of_the_job_finds(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "my-method.v2.py"
    mine.write_text("from wsshm.methods import Method, register\n")
    monkeypatch.setenv("WSSHM_PLUGINS", f"{mine},json.decoder")
    submit_plan("smoke", cluster.address, "/shared/smoke")
    environment = cluster.jobs["smoke-1"]["runtime_env"]
    assert environment["env_vars"]["WSSHM_PLUGINS"] == "submitted.plugin_0_my_method_v2,json.decoder"
    assert sent(cluster)["submitted/plugin_0_my_method_v2.py"] == mine.read_bytes()
    submit_plan("smoke", cluster.address, "/shared/other", (), Baggage(env=("WSSHM_PLUGINS=theirs",)))
    assert cluster.jobs["smoke-2"]["runtime_env"]["env_vars"]["WSSHM_PLUGINS"] == "theirs"


def test_an_installed_suite_sends_no_code(cluster: FakeCluster, tmp_path: Path, monkeypatch, caplog) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    monkeypatch.setattr(provenance, "CHECKOUT", installed)
    with caplog.at_level(logging.INFO):
        submit_plan("smoke", cluster.address, "/shared/smoke")
    assert not cluster.packages
    assert "working_dir" not in cluster.jobs["smoke-1"]["runtime_env"]
    assert "the nodes have wsshm-bench" in caplog.text
    plan = tmp_path / "mine.yaml"
    plan.write_text("name: mine\n")
    submit_plan(str(plan), cluster.address, "/shared/mine")
    assert list(sent(cluster)) == ["submitted/mine.yaml"]


def test_baggage_is_added_to_the_runtime_environment(cluster: FakeCluster, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    for name in ("code.py", "notes.txt", "sub/more.py", "sub/secret.txt", "model.safetensors"):
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("notes.txt\n")
    (folder / "sub" / ".rayignore").write_text("/secret.txt\n")
    runtime_env = tmp_path / "env.yaml"
    runtime_env.write_text("env_vars: {A: '1', B: '2'}\nexcludes: ['/sub/more.py']\n")
    baggage = Baggage(str(folder), ("B=3", "C=x=y"), "optuna>=4,wandb", runtime_env)
    submit_plan("smoke", cluster.address, "/shared/smoke", (), baggage)
    environment = cluster.jobs["smoke-1"]["runtime_env"]
    assert environment["env_vars"] == {"A": "1", "B": "3", "C": "x=y"}
    assert environment["pip"]["packages"] == ["optuna>=4", "wandb"]
    assert sorted(sent(cluster)) == [".gitignore", "code.py", "sub/.rayignore"]
    with pytest.raises(UserError, match="--env takes KEY=VALUE, not 'WRONG'"):
        submit_plan("smoke", cluster.address, "/shared/other", (), Baggage(env=("WRONG",)))


def test_too_much_to_send_names_the_biggest_folders(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "LIMIT_BYTES", 1e6)
    for name, size in (("photos/a.jpg", 900_000), ("masks/a.png", 300_000), ("code.py", 10)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(UserError, match=r"1\.2 MB to send .* 1\.0 MB; .*\.rayignore .*: photos 0\.9 MB, masks 0\.3 MB"):
        submit_plan("smoke", cluster.address, "/shared/smoke", (), Baggage(str(tmp_path)))
    assert not cluster.jobs


def test_a_mistake_in_the_plan_is_found_before_the_cluster_is_asked() -> None:
    with pytest.raises(UserError, match=r"unknown key 'base\.trian'|unknown key 'trian'"):
        submit_plan("smoke", "http://127.0.0.1:1", "/shared/x", ["base.trian.steps=3"])


def test_relative_paths_mean_nothing_on_another_machine(cluster: FakeCluster, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--out runs/smoke is relative.*absolute folder.*s3://bucket/smoke"):
        submit_plan("smoke", cluster.address)
    with pytest.raises(UserError, match=rf"names data\.masks by .*'p\.parquet'.* --set base\.data\.root={tmp_path},"):
        submit_plan("smoke", cluster.address, "/shared/x", ["base.data.masks=p.parquet"])
    with pytest.raises(
        UserError, match=rf"names model\.weights .* --set base\.model\.weights={tmp_path}/w\.safetensors,"
    ):
        submit_plan("smoke", cluster.address, "/shared/x", ["base.model.weights=w.safetensors"])
    assert not cluster.jobs
    submit_plan("smoke", cluster.address, "s3://bucket/x", ["base.data.masks=p.parquet", "base.data.root=/shared"])
    assert "--out s3://bucket/x " in cluster.jobs["smoke-1"]["entrypoint"]


def test_on_this_machine_relative_paths_are_made_absolute(cluster: FakeCluster, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cluster.nodes = [cluster.nodes[0] | {"node_ip": get_node_ip_address()}]
    submit_plan("smoke", cluster.address, None, ["base.data.masks=p.parquet"])
    assert cluster.jobs["smoke-1"]["entrypoint"] == (
        f"python -m sweeps run smoke --out {tmp_path}/runs/smoke --set base.data.masks=p.parquet"
        f" --set base.data.root={tmp_path}"
    )


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, 0),
        ({"status": "FAILED", "driver_exit_code": 1}, 1),
        ({"status": "FAILED", "driver_exit_code": 2}, 2),
        ({"status": "FAILED", "driver_exit_code": -9}, 1),
        ({"status": "STOPPED"}, 1),
        ({"status": "FAILED", "message": "runtime_env setup failed: no such package"}, 2),
        ({"status": "FAILED", "message": "Job supervisor actor died"}, 1),
    ],
)
def test_the_exit_status_is_that_of_the_job(cluster: FakeCluster, ends: dict, status: int) -> None:
    cluster.ends = ends
    assert submit_plan("smoke", cluster.address, "/shared/x") == status


def test_a_dropped_connection_repeats_no_line(cluster: FakeCluster, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.time, "sleep", lambda _: None)
    cluster.log = [f"line {i}\n" for i in range(20)]
    cluster.drop_after = [3, 0, 11]
    assert submit_plan("smoke", cluster.address, "/shared/x") == 0
    assert cluster.attachments == 4
    assert capsys.readouterr().out == "".join(cluster.log)


def test_a_silent_connection_is_attached_anew(cluster: FakeCluster, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SILENCE_S", 0.3)
    cluster.hang = True
    timer = threading.Timer(1.0, lambda: setattr(cluster, "hang", False))
    timer.start()
    assert submit_plan("smoke", cluster.address, "/shared/x") == 0
    assert cluster.attachments >= 2
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_a_cluster_that_stays_away_ends_following(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.0)
    connected = jobs.Cluster.connect(cluster.address)
    connected.client._address = "http://127.0.0.1:1"
    with pytest.raises(UserError, match=r"has not answered for .* the job goes on: .*ray job logs --follow"):
        connected.follow("smoke-1", lambda text: None)


def test_asked_again_a_running_job_is_followed(cluster: FakeCluster, capsys) -> None:
    assert submit_plan("smoke", cluster.address, "/shared/x", wait=False) == 0
    assert capsys.readouterr().out == "smoke-1\n"
    with pytest.raises(UserError, match=r"the job smoke-1 is writing to /shared/x; .*ray job stop .*--out"):
        submit_plan("smoke", cluster.address, "/shared/x", ["base.train.lr=1e-3"])
    assert submit_plan("smoke", cluster.address, "/shared/x") == 0
    assert list(cluster.jobs) == ["smoke-1"]
    submit_plan("smoke", cluster.address, "/shared/x")  # the first has ended: this one goes on from its results
    assert list(cluster.jobs) == ["smoke-1", "smoke-2"]


def test_an_id_is_good_for_one_job(cluster: FakeCluster) -> None:
    submit_plan("smoke", cluster.address, "/shared/x", submission_id="tuesday")
    with pytest.raises(UserError, match=r"has had a job 'tuesday' already; give another --submission-id"):
        submit_plan("smoke", cluster.address, "/shared/x", submission_id="tuesday")


def test_somebody_faster_with_the_same_number(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_plan("smoke", cluster.address, "/shared/x")
    known, listing = jobs.Cluster.jobs, iter([[], []])  # the first two questions are answered from before that job
    monkeypatch.setattr(jobs.Cluster, "jobs", lambda self: next(listing, None) or known(self))
    submit_plan("smoke", cluster.address, "/shared/y")
    assert list(cluster.jobs) == ["smoke-1", "smoke-2"]


def test_tokens(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.token = "right"
    with pytest.raises(UserError, match=r"asks for a token; put the cluster's .* RAY_AUTH_TOKEN_PATH.*auth_token"):
        submit_plan("smoke", cluster.address, "/shared/x")
    file = tmp_path / "home" / ".ray" / "auth_token"
    file.parent.mkdir(parents=True)
    file.write_text("wrong\n")
    with pytest.raises(UserError, match=rf"rejects the token from {file}"):
        submit_plan("smoke", cluster.address, "/shared/x")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    assert submit_plan("smoke", cluster.address, "/shared/x") == 0
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UserError, match=r"RAY_AUTH_MODE=disabled withholds it"):
        submit_plan("smoke", cluster.address, "/shared/y")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"RAY_AUTH_TOKEN_PATH names .*none, which cannot be read"):
        submit_plan("smoke", cluster.address, "/shared/y")


def test_wrong_addresses_are_one_sentence(cluster: FakeCluster) -> None:
    with pytest.raises(UserError, match=r"no cluster answers at http://127\.0\.0\.1:1 \(connection refused\)"):
        submit_plan("smoke", "127.0.0.1:1", "/shared/x")
    with pytest.raises(UserError, match=r"answers, but not as a Ray dashboard"):
        submit_plan("smoke", f"{cluster.address}/elsewhere", "/shared/x")
    with pytest.raises(UserError, match=r"is not a dashboard's address"):
        submit_plan("smoke", "ray://head:10001", "/shared/x")


def test_ctrl_c_ends_following_and_not_the_job(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.hang = True
    command = [sys.executable, "-m", "sweeps", "submit", "smoke", "--address", cluster.address, "--out", "/shared/x"]
    errors = tmp_path / "errors"
    with open(errors, "w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # A test run in the background of a shell ignores Ctrl-C, and its children would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stdout
        assert [process.stdout.readline() for _ in range(3)] == cluster.log
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    said = errors.read_text()
    assert "the job smoke-1 goes on" in said
    assert f"ray job logs --follow --address {cluster.address} smoke-1" in said
    assert f"ray job stop --address {cluster.address} smoke-1" in said
    assert "Traceback" not in said
    assert cluster.jobs["smoke-1"]["status"] == "RUNNING"


@contextlib.contextmanager
def real_cluster(folder: Path, port: int) -> Iterator[tuple[str, dict[str, str]]]:
    """`ray start --head` with a token: its dashboard's address, and the environment of a client of it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-for-this-test",
        "OMP_NUM_THREADS": "1",
        "WSSHM_CACHE": os.environ.get("WSSHM_CACHE", str(Path.home() / ".cache" / "wsshm")),
    }
    temporary = Path(f"/tmp/wsshm-{port}")  # short: sockets lie in it
    command = ["ray", "start", "--head", "--block", f"--port={port}", f"--dashboard-port={port + 1}", "--num-cpus=3"]
    command += [f"--dashboard-agent-listen-port={port + 2}", f"--ray-client-server-port={port + 3}"]
    command += [f"--temp-dir={temporary}", "--object-store-memory=100000000", "--disable-usage-stats"]
    address = f"http://127.0.0.1:{port + 1}"
    for _ in range(3):  # Ray gives itself 30 s to start, which a busy machine may not keep
        with open(folder / "ray.log", "w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        if came_up(process, address, environment["RAY_AUTH_TOKEN"]):
            break
        stop(process)
    try:
        assert process.poll() is None, (folder / "ray.log").read_text()
        yield address, environment
    finally:
        stop(process)
        shutil.rmtree(temporary, ignore_errors=True)


def came_up(process: subprocess.Popen, address: str, token: str) -> bool:
    """Wait for the job server; False where its process ended instead."""
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{address}/api/jobs/", headers={"Authorization": f"Bearer {token}"}, timeout=5).ok:
                return True
        time.sleep(1)
    return False


def stop(process: subprocess.Popen) -> None:
    """End a `ray start --block` with all its children."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_as_a_job_of_a_real_cluster(tmp_path: Path) -> None:
    """Submitted twice over, by our command, with a method of the user's own, and by Ray's; an impossible request comes back
    as exit status 2."""
    mine = tmp_path / "elsewhere" / "my halves.py"
    mine.parent.mkdir()
    mine.write_text((CHECKOUT / "tests" / "extending" / "halves.py").read_text())
    with real_cluster(tmp_path, port=24310) as (address, environment):
        environment |= {"WSSHM_GIT_COMMIT": "0123abcd", "WSSHM_GIT_DIRTY": "1", "PYTHONPATH": str(CHECKOUT)}

        def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "sweeps", "submit", *arguments, "--address", address]
            return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)

        environment[plugins.VARIABLE] = "elsewhere/my halves.py"
        halves = ("--set", "space={method.name: [halves]}")
        done = submit("smoke", "--out", "ours", *halves)  # relative: the cluster is this machine
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 run finished, 0 failed" in done.stdout
        assert f"results: {tmp_path / 'ours'}; dashboard: {address}/#/jobs/smoke-1" in done.stderr
        (row,) = pq.read_table(tmp_path / "ours" / "store" / "runs").to_pylist()
        assert (row["status"], row["git_commit"], row["git_dirty"]) == ("finished", "0123abcd", True)
        assert row["method"] == "halves"
        assert "plugin plugin_0_my_halves.py" in json.loads(row["versions"])

        del environment[plugins.VARIABLE]
        refused = submit("smoke", "--out", str(tmp_path / "gpu"), "--set", "base.train.gpus_per_worker=1")
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert "each run asks for 1 CPU and 1 GPU (1 worker) but the cluster has 0 GPU" in refused.stdout
        assert "the job ended with exit status 2" in refused.stderr

        command = ["ray", "job", "submit", "--address", address, "--working-dir", ".", "--runtime-env-json"]
        command += [json.dumps({"excludes": [".git", "runs"]}), "--", "python", "-m", "sweeps", "run", "smoke"]
        plain = subprocess.run(
            [*command, "--out", str(tmp_path / "plain")],
            cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert plain.returncode == 0, plain.stdout + plain.stderr
        assert (tmp_path / "plain" / "report" / "index.html").is_file()
