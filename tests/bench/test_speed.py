"""Timing: rows from fresh processes that fit the store, statistics by hand, and one sentence for a user's mistake."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from typer.testing import CliRunner

from bench import blocks, cli, timing
from bench.pooling import pooled
from bench.settings import CPU_PROTOCOL, Network, Protocol, SpeedSpec, expand, named, parse_size, protocol_for
from bench.speed import measure, speed_table
from bench.store import SCHEMAS, Store
from tests.bench.test_pooling import block
from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.models.network import build_model

QUICK = Protocol(warmup_calls=1, warmup_seconds=0, calls=6, seconds=0, max_seconds=20)
SMALL: dict[str, Any] = {"height": 64, "width": 64}


def time_here(spec: SpeedSpec, folder: Path, scopes: tuple[str, ...] = ("model",)) -> dict[str, Any]:
    """In this process: what the child does, without the seconds that its imports take."""
    return timing.time_model(spec, list(scopes), QUICK, None, folder)


def unsteady(row: dict[str, Any]) -> bool:
    """Whether something else kept the machine busy while this was timed, as the row says."""
    return row["status"] == "unstable" and ("the machine was busy" in row["reason"] or "differ too" in row["reason"])


@pytest.mark.slow
def test_rows_come_from_fresh_processes_and_fit_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    specs = [
        SpeedSpec("resnet18", height=50, width=70, batch=2, scope="end_to_end", precision="bf16", layout="nchw"),
        SpeedSpec("resnet18", **SMALL),
        SpeedSpec("resnet18", **SMALL, batch=10**8),
    ]
    rows = speed_table(specs, threads=1, protocol=QUICK, store=store, processes=2)
    assert ["ok" if unsteady(row) else row["status"] for row in rows] == ["ok", "ok", "oom"]
    assert set(rows[0]) <= set(SCHEMAS["speed"].names)
    read = {row["batch"]: row for row in store.read("speed").to_dict("records")}
    whole, single, refused = (read[batch] for batch in (2, 1, 10**8))
    assert [(row["scope"], row["layout"]) for row in (whole, single)] == [
        ("end_to_end", "nchw"),
        ("model", "channels_last"),
    ]
    for row in (whole, single):
        assert row["model"] == "unet/resnet18"
        assert row["device"].endswith(", 1 thread")
        assert row["processes"] == len(row["process_calls"]) >= 2
        assert set(row["process_calls"]) == {6}
        assert row["n"] == len(row["samples_ms"]) == 6 * row["processes"]
        assert row["median_low_ms"] <= row["p50_ms"] <= row["median_high_ms"]
        assert row["p50_ms"] <= row["p90_ms"] <= row["p95_ms"] <= row["p99_ms"] <= max(row["samples_ms"])
        assert row["images_per_s"] == pytest.approx(row["batch"] * row["n"] * 1000 / sum(row["samples_ms"]), rel=0.1)
        assert row["peak_mb"] > 100
        assert json.loads(row["versions"])["torch"] == torch.__version__.split("+")[0]
    assert single["max_difference"] < 1e-6
    assert 0 < whole["max_difference"] < 0.1  # of bf16
    assert np.isnan(whole["fps"])
    assert single["fps"] == pytest.approx(1000 / single["p50_ms"])
    # 50 x 70 is padded to 64 x 96; multiply-adds are those of one image
    assert whole["gmacs"] / single["gmacs"] == pytest.approx(64 * 96 / 64**2, rel=0.01)
    assert "memory" in refused["reason"]
    assert np.isnan(refused["p50_ms"])


@pytest.mark.slow
def test_a_process_that_the_kernel_ends_is_a_lack_of_memory() -> None:
    over = threading.Event()

    def kill_timed_processes() -> None:
        while not over.wait(0.05):  # the first may only have looked at the model
            # Other tests' processes, such as Ray's, are children of this one too.
            with contextlib.suppress(psutil.Error):
                timers = [child for child in psutil.Process().children() if "bench.timing" in child.cmdline()]
                for timed in (process for timer in timers for process in timer.children()):
                    timed.kill()

    killer = threading.Thread(target=kill_timed_processes)
    killer.start()
    endless = Protocol(warmup_calls=1, warmup_seconds=0, calls=1, seconds=60, max_seconds=60)
    try:
        row = measure(SpeedSpec("resnet18", **SMALL), threads=1, protocol=endless)
    finally:
        over.set()
        killer.join()
    assert (row["status"], row.get("p50_ms")) == ("oom", None)
    assert "killed" in row["reason"]


def test_backbones_are_fused_before_they_are_timed(tmp_path: Path) -> None:
    answer = time_here(SpeedSpec("repvgg_a0", **SMALL), tmp_path)
    unfused = build_model(ModelConfig(backbone="repvgg_a0", weights="none"))
    assert answer["params"] < sum(parameter.numel() for parameter in unfused.parameters())


def test_all_scopes_of_a_setting_are_timed_in_one_process(tmp_path: Path) -> None:
    answer = time_here(SpeedSpec("test_resnet", **SMALL), tmp_path, ("model", "end_to_end"))
    assert list(answer["blocks"]) == ["model", "end_to_end"]
    assert all(len(block["samples_ms"]) == 6 for block in answer["blocks"].values())
    assert SpeedSpec("a", scope="model").cell == SpeedSpec("a", scope="end_to_end").cell != SpeedSpec("b").cell


def test_multiply_adds_of_a_known_layer() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    with timing.FlopCounterMode(display=False) as counter:
        layer(torch.rand(1, 3, 10, 10))
    assert counter.get_total_flops() / 2 == 10 * 10 * 8 * 3 * 3 * 3


def test_a_size_that_a_model_cannot_run_at_is_a_row_of_its_own(tmp_path: Path) -> None:
    answer = time_here(SpeedSpec("inception_v3", height=64, width=60), tmp_path)
    assert answer["status"] == "unavailable"
    assert answer["reason"].startswith("the backbone 'inception_v3' does not run on pictures of 64x64 px (Calculated")


def test_timing_goes_on_until_calls_and_seconds_are_reached() -> None:
    def timed(calls: int, seconds: float, max_seconds: float) -> int:
        return len(blocks.repeat(lambda: time.sleep(0.01), calls, seconds, max_seconds)[0])

    assert timed(3, 0, 9) == 3
    assert 5 <= timed(1, 0.1, 9) <= 11
    assert timed(1000, 0, 0.05) <= 6


def test_protocols() -> None:
    assert protocol_for(SpeedSpec("resnet18")) == CPU_PROTOCOL
    single, several = (protocol_for(SpeedSpec("resnet18", device="cuda", batch=batch)) for batch in (1, 8))
    assert (single.calls, several.calls) == (400, 100)
    assert several.warmup_calls == 25


@pytest.mark.parametrize(
    ("text", "size"), [("512", (512, 512)), (256, (256, 256)), ("1080p", (1080, 1920)), (" 640X480 ", (480, 640))]
)
def test_sizes(text: str | int, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "12x0", "1x2x3", "big", "1081p", "-5", "5.5"])
def test_impossible_sizes(text: str) -> None:
    with pytest.raises(UserError, match="is not a size"):
        parse_size(text)


def test_words_for_models(tmp_path: Path) -> None:
    assert named("resnet18", "gfm") == Network("gfm", "resnet18")
    assert named("fast/resnet18", "gfm") == Network("fast", "resnet18")
    assert named("slow/resnet18") == Network("unet", "slow/resnet18")  # no architecture: told when it is built
    with pytest.raises(UserError, match="holds no model"):
        named(str(tmp_path))


def test_models_alternate_within_each_setting() -> None:
    specs = expand(["a", "b"], ["64", "128x96"], [1, 2], scopes=["model"], device="cuda")
    assert [(s.backbone, s.height, s.width, s.batch) for s in specs] == [
        *[(name, 64, 64, 1) for name in "ab"],
        *[(name, 64, 64, 2) for name in "ab"],
        *[(name, 96, 128, 1) for name in "ab"],
        *[(name, 96, 128, 2) for name in "ab"],
    ]
    assert {s.device for s in specs} == {"cuda"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"engine": "eagre"}, "there is no engine 'eagre'; .*'eager'"),
        ({"precision": "fp8"}, "precision 'fp8' cannot be timed; .*'fp16'"),
        ({"scope": "all"}, "scope 'all'.*model"),
        ({"device": "gpu"}, "device 'gpu' cannot be timed"),
        ({"batch": 0}, "batch to be timed is 0"),
    ],
)
def test_impossible_settings_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        SpeedSpec("resnet18", **wrong)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (SpeedSpec("resnet81"), "no backbone 'resnet81'.*'resnet18'"),
        (SpeedSpec("resnet18", architecture="unnet"), "architecture = 'unnet'.*'unet'"),
        (SpeedSpec("resnet18", backbone_kwargs={"foo": 1}), "backbone_kwargs do not fit 'resnet18'"),
    ],
)
def test_models_that_cannot_be_built_are_named_before_anything_is_timed(spec: SpeedSpec, named: str) -> None:
    with pytest.raises(UserError, match=named):
        timing.check([SpeedSpec("resnet18"), spec])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_an_absent_gpu_is_named() -> None:
    with pytest.raises(UserError, match="no CUDA device"):
        timing.check([SpeedSpec("resnet18", device="cuda")])


@pytest.mark.gpu
@pytest.mark.parametrize("scope", ["model", "end_to_end"])
def test_timing_on_a_gpu(scope: str) -> None:
    row = measure(SpeedSpec("resnet18", **SMALL, device="cuda", scope=scope, precision="fp16"), protocol=QUICK)
    assert (row["status"], row["device"]) == ("ok", torch.cuda.get_device_name())
    assert 0 < row["p50_ms"] < 1000
    refused = measure(SpeedSpec("resnet18", **SMALL, batch=10**8, device="cuda"), protocol=QUICK)
    assert refused["status"] == "oom"


def test_the_command_prints_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SpeedSpec] = []

    def answered(
        specs: list[SpeedSpec], threads: int | None, store: Store, processes: int, calibration: str | None
    ) -> list[dict[str, Any]]:
        assert (processes, calibration) == (3, None)
        asked.extend(specs)
        measured = pooled([block(20.0)] * 3, batch=1) | {"params": 12_345_678, "gmacs": 0.5, "max_difference": 2e-7}
        base = {"model": "unet/resnet18", "device": "CPU", "precision": "fp32", "layout": "nchw", "batch": 1}
        size = {"width": 1920, "height": 1080, "engine": "eager"}
        rows = [base | size | {"scope": "model"} | measured, base | size | {"scope": "end_to_end", "status": "oom"}]
        rows.append(rows[0] | {"layout": "channels_last", "status": "unstable", "reason": "the machine was busy"})
        store.write("speed", rows)
        return rows

    monkeypatch.setattr("bench.cli.speed_table", answered)
    arguments = ["speed", "--models", "resnet18, resnet18,resnet34", "--sizes", "1080p", "--store", str(tmp_path / "s")]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert [(s.backbone, s.height, s.scope) for s in asked] == [
        (backbone, 1080, scope) for scope in ("model", "end_to_end") for backbone in ("resnet18", "resnet34")
    ]
    assert "CPU, fp32, batch 1" in result.output
    first, second, third = (line.split()[4:] for line in result.output.splitlines() if "unet/" in line)
    assert first == ["20", "20", "..", "20", "50", "50", "12.3", "0.5", "100", "2e-07"]  # no p99 of few calls
    assert second == ["oom"]
    assert third[:3] == ["20", "unstable,", "20"]
    assert len(Store(tmp_path / "s").read("speed")) == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--batches", "one"], "--batches takes whole numbers above 0, not 'one'"),
        (["--models", ","], "--models is empty"),
        (["--sizes", "1081p"], "'1081p' is not a size"),
        (["--engines", "onnx"], "there is no engine 'onnx'"),
        (["--threads", "0"], "--threads is 0"),
        (["--processes", "0"], "in at least 1 process, not 0"),
        (["--calibration", "m.parquet"], "--calibration is for int8; add it to --precisions"),
    ],
)
def test_mistakes_at_the_command_are_named(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(cli.app, ["speed", *arguments])
    assert isinstance(result.exception, UserError)
    assert named in str(result.exception)


def test_help_needs_no_torch() -> None:
    code = "import sys, bench.cli; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
