"""`bench evaluate`: bad files are named and counted, and rows and table are the measures' own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.statistics import mean_interval
from bench.store import Store
from tests.bench.prediction_folders import HEIGHT, MEASURED_EVERYWHERE, WIDTH, cut, fill, matte, rows
from wsshm.data.pictures import read_matte, read_trimap, write_png
from wsshm.metrics import MEASURES, exact_levels, score, score_mask
from wsshm.metrics.sequence import dtssd

ROOT = Path(__file__).resolve().parents[2]


def test_bad_files_are_named_and_counted_and_the_rest_is_scored(tmp_path, evaluate):
    fill(tmp_path, 100)
    predictions = tmp_path / "predictions"
    (predictions / "007.png").unlink()
    cut(predictions / "042.png")
    write_png(predictions / "stranger.png", matte(0))
    said = evaluate("--out", tmp_path / "rows.parquet", "--workers", 2)
    assert said.code == 1, said.err
    assert "predictions on labels: 98 of 100 pairs scored" in said.out
    assert "1 label without a prediction: 007\n" in said.out
    assert "1 prediction without a label: stranger\n" in said.out
    assert "1 broken prediction: 042\n" in said.out
    frame = rows(tmp_path / "rows.parquet")
    assert frame["status"].value_counts().to_dict() == {"ok": 98, "missing": 1, "extra": 1, "broken": 1}
    assert frame.index.is_unique
    assert frame.loc[["007", "042", "stranger"], "status"].tolist() == ["missing", "broken", "extra"]
    assert str(predictions / "042.png") in frame.loc["042", "reason"]
    assert frame.loc[["007", "042", "stranger"], "sad"].isna().all()
    assert frame.loc[frame["status"] == "ok", "sad"].notna().all()
    assert not list(tmp_path.glob(".rows*"))


def test_long_lists_of_names_are_shortened_and_point_to_the_file(tmp_path, evaluate):
    fill(tmp_path, 14)
    for index in range(1, 13):
        (tmp_path / "predictions" / f"{index:03d}.png").unlink()
    said = evaluate("--out", tmp_path / "rows.parquet")
    line = next(line for line in said.out.splitlines() if "without a prediction" in line)
    assert line.strip() == (
        "12 labels without a prediction: 001, 002, 003, 004, 005, 006, 007, 008, 009, 010 and 2 more "
        f"(all in {tmp_path / 'rows.parquet'})"
    )


def exact(path):
    return exact_levels(read_matte(path))


@pytest.mark.parametrize(("convention", "own"), [("p3m", "whole"), ("dim", "unknown"), ("rvm", "whole")])
def test_rows_and_table_are_the_measures_of_each_image(tmp_path, evaluate, convention, own):
    fill(tmp_path, 4)
    said = evaluate("--convention", convention, "--out", tmp_path / "rows.parquet", "--quantised", "rounded")
    assert said.code == 0, said.err
    frame = rows(tmp_path / "rows.parquet")
    headline = []
    for image, row in frame.iterrows():
        paths = [tmp_path / side / f"{image}.png" for side in ("predictions", "labels")]
        expected = {one.region: one for one in score(*map(exact, paths), convention=convention)}
        headline.append(expected[own].mad)
        for region, scores in expected.items():
            values = scores.as_row()
            for measure in MEASURED_EVERYWHERE if region != "boundary" else ("mad",):
                column = measure if region == own else f"{measure}_{region}"
                value = np.nan if values[measure] is None else values[measure]
                assert row[column] == pytest.approx(value, rel=1e-12, nan_ok=True), column
        iou = row["iou"] if own == "whole" else row["iou_whole"]
        assert iou == pytest.approx(expected["whole"].iou)
        assert row["unknown_px"] == expected["unknown"].unknown_px
        assert row["metric_version"] == expected[own].metric_version
        assert (row["convention"], row["region"], row["truth"], row["quantised"]) == (
            expected[own].convention,
            own,
            "exact",
            "rounded",
        )
        assert (row["width"], row["height"], row["resized"], row["depth"]) == (WIDTH, HEIGHT, False, "uint8")
    shown = next(line for line in said.out.splitlines() if line.strip().startswith(own))
    interval = mean_interval(headline)
    for value in (interval.mean, interval.low, interval.high):
        assert any(abs(number - value) <= 0.02 * value for number in numbers(shown)), (value, shown)
    worst = said.out.split("Worst 4 images")[1].split()
    order = frame["sad"] if convention != "rvm" else frame["mad"]
    assert [word for word in worst if word in frame.index] == order.sort_values(ascending=False).index.tolist()


def numbers(line: str) -> list[float]:
    words = (word.strip("[],") for word in line.split())
    return [float(word) for word in words if word.replace(".", "", 1).isdigit()]


def test_broken_labels_and_trimaps_and_files_without_a_partner_are_kinds_of_their_own(tmp_path, evaluate):
    fill(tmp_path, 6)
    for index in (1, 2, 3, 4, 5):
        write_png(tmp_path / "trimaps" / f"{index:03d}.png", np.full((HEIGHT, WIDTH), 128, np.uint8))
    write_png(tmp_path / "trimaps" / "alone.png", np.full((HEIGHT, WIDTH), 128, np.uint8))
    cut(tmp_path / "labels" / "001.png")
    cut(tmp_path / "trimaps" / "002.png")
    said = evaluate("--trimaps", tmp_path / "trimaps")
    assert said.code == 1
    kinds = ("label without a trimap: 000", "trimap without a label: alone")
    for kind in (*kinds, "broken label: 001", "broken trimap: 002"):
        assert f"1 {kind}\n" in said.out
    assert "3 of 6 pairs scored" in said.out


def test_nothing_scored_is_still_reported(tmp_path, evaluate):
    fill(tmp_path, 1)
    cut(tmp_path / "labels" / "000.png")
    said = evaluate("--out", tmp_path / "rows.parquet", "--store", tmp_path / "store")
    assert (said.code, rows(tmp_path / "rows.parquet")["status"].tolist()) == (1, ["broken"])
    assert "0 of 1 pairs scored" in said.out


def test_trimaps_give_the_unknown_region(tmp_path, evaluate):
    fill(tmp_path, 2)
    trimap = np.full((HEIGHT, WIDTH), 128, np.uint8)
    trimap[:5] = 0
    for index in range(2):
        write_png(tmp_path / "trimaps" / f"{index:03d}.png", trimap)
    said = evaluate("--trimaps", tmp_path / "trimaps", "--out", tmp_path / "rows.parquet")
    assert said.code == 0
    assert "Unknown region: from the trimaps" in said.out
    frame = rows(tmp_path / "rows.parquet")
    paths = [tmp_path / side / "001.png" for side in ("predictions", "labels")]
    given = read_trimap(tmp_path / "trimaps" / "001.png")
    expected = next(one for one in score(*map(exact, paths), given) if one.region == "unknown")
    assert frame.loc["001", "sad_unknown"] == pytest.approx(expected.sad, rel=1e-12)
    assert frame["unknown_px"].isna().all()
    derived = evaluate()
    assert "Unknown region: derived from the labels, their fractional pixels dilated by 1 px" in derived.out


def test_another_size_is_resized_and_counted_or_refused(tmp_path, evaluate):
    fill(tmp_path, 4)
    predictions = tmp_path / "predictions"
    small, large, wide = matte(0, HEIGHT // 2, WIDTH // 2), matte(1, HEIGHT * 2, WIDTH * 2), matte(2, HEIGHT, 2 * WIDTH)
    for index, array in enumerate((small, large, wide)):
        write_png(predictions / f"{index:03d}.png", array)
    said = evaluate("--out", tmp_path / "rows.parquet")
    assert said.code == 0
    assert "3 resized to their label" in said.out
    assert "Warning: aspect ratio differs from the label's in 1 prediction: 002" in said.out
    frame = rows(tmp_path / "rows.parquet")
    assert frame["resized"].tolist() == [True, True, True, False]
    assert frame.loc["001", ["prediction_width", "prediction_height"]].tolist() == [2 * WIDTH, 2 * HEIGHT]
    up = cv2.resize(small / np.float32(255), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    down = cv2.resize(large / np.float32(255), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    for image, resized in (("000", up), ("001", down)):
        expected = score(resized, read_matte(tmp_path / "labels" / f"{image}.png"))[0].sad
        assert frame.loc[image, "sad"] == pytest.approx(expected, rel=1e-6)

    refused = evaluate("--strict-size", "--out", tmp_path / "strict.parquet")
    assert refused.code == 2
    assert f"{predictions / '000.png'} is 12x15 but its label is 24x30, as are 2 more of other sizes" in refused.err
    assert not (tmp_path / "strict.parquet").exists()
    for index in range(3):
        write_png(predictions / f"{index:03d}.png", matte(index))
    assert evaluate("--strict-size").code == 0


def test_sequences_add_dtssd_against_the_frame_before(tmp_path, evaluate):
    for clip in ("b", "a"):
        for frame in (1, 2, 9, 10, 11):
            seed = frame + 100 * (clip == "b")
            write_png(tmp_path / "labels" / clip / f"f{frame}.png", matte(seed))
            write_png(tmp_path / "predictions" / clip / f"f{frame}.png", cv2.blur(matte(seed), (3, 3)))
    cut(tmp_path / "predictions" / "b" / "f2.png")
    said = evaluate("--sequences", "--out", tmp_path / "rows.parquet", "--workers", 3)
    assert said.code == 1
    frames = rows(tmp_path / "rows.parquet")
    names = ["f1", "f2", "f9", "f10", "f11"]
    assert frames.index.tolist() == [f"{clip}/{name}" for clip in "ab" for name in names]
    missing = frames["dtssd"].isna()
    assert missing[missing].index.tolist() == ["a/f1", "b/f1", "b/f2", "b/f9"]
    for before, now in (("a/f9", "a/f10"), ("b/f10", "b/f11")):
        values = [
            read_matte(tmp_path / side / f"{at}.png") for side in ("predictions", "labels") for at in (now, before)
        ]
        assert frames.loc[now, "dtssd"] == pytest.approx(dtssd(*values), rel=1e-9)
    assert "dtSSD ↓" in said.out
    assert "n=6" in said.out

    alone = evaluate("--sequences", "--out", tmp_path / "one.parquet", predictions="predictions/a", labels="labels/a")
    assert alone.code == 0
    one = rows(tmp_path / "one.parquet")
    assert one.index.tolist() == [f"a/{name}" for name in names]
    assert one["dtssd"].tolist() == pytest.approx(frames["dtssd"].iloc[:5].tolist(), nan_ok=True)


def test_frames_of_a_clip_must_have_one_size(tmp_path, evaluate):
    for folder in ("labels", "predictions"):
        write_png(tmp_path / folder / "1.png", matte(0))
        write_png(tmp_path / folder / "2.png", matte(0, HEIGHT + 1))
    said = evaluate("--sequences")
    assert (said.code, "the frames of a clip must have one size" in said.err) == (2, True)


def test_masks_are_scored_by_iou_and_boundary(tmp_path, evaluate):
    fill(tmp_path, 3)
    for index in range(3):
        mask = (matte(index + 1) > 127).astype(np.uint8)
        write_png(tmp_path / "labels" / f"{index:03d}.png", mask * (255 if index else 1))
    (tmp_path / "labels" / "002.png").unlink()
    np.save(tmp_path / "labels" / "002.npy", matte(3) > 127)
    said = evaluate("--truth", "mask", "--out", tmp_path / "rows.parquet", "--store", tmp_path / "store")
    assert said.code == 0, said.err
    assert "boundary F ↑" in said.out
    assert "SAD" not in said.out
    frame = rows(tmp_path / "rows.parquet")
    for index, row in enumerate(frame.itertuples()):
        prediction = read_matte(tmp_path / "predictions" / f"{index:03d}.png")
        expected = score_mask(prediction, (matte(index + 1) > 127).astype(np.float32))
        assert (row.iou, row.boundary_f) == pytest.approx((expected.iou, expected.boundary_f))
    worst = said.out.split("Worst 3 images")[1].split()
    assert [word for word in worst if word in frame.index] == frame["iou"].sort_values().index.tolist()
    assert frame[["sad", "mad", "conn", "sad_unknown"]].isna().all(axis=None)
    assert set(Store(tmp_path / "store").read("scores")["truth"]) == {"mask"}


def test_labels_that_look_like_masks_and_masks_saved_as_labels_are_pointed_out(tmp_path, evaluate):
    fill(tmp_path, 2)
    assert "--truth mask" not in evaluate().out
    for index in range(2):
        write_png(tmp_path / "labels" / f"{index:03d}.png", (matte(index) > 127).astype(np.uint8) * 255)
    write_png(tmp_path / "predictions" / "001.png", (matte(1) > 127).astype(np.uint8))
    said = evaluate()
    assert "--truth mask scores IoU" in said.out
    assert "Warning: no value above 1 of the whole range in 1 prediction: 001" in said.out
    assert "--truth mask scores IoU" not in evaluate("--truth", "exact").out


def test_workers_change_nothing(tmp_path, evaluate):
    fill(tmp_path, 12)
    cut(tmp_path / "predictions" / "005.png")
    said = {n: evaluate("--workers", n, "--sequences", "--out", tmp_path / f"{n}.parquet") for n in (1, 3)}
    assert said[1].out == said[3].out
    pd.testing.assert_frame_equal(rows(tmp_path / "1.parquet"), rows(tmp_path / "3.parquet"), check_exact=True)


def test_one_image_has_no_interval(tmp_path, evaluate):
    fill(tmp_path, 1)
    said = evaluate()
    assert "a single image has no interval" in said.out
    assert "[" not in said.out.split("Means over images")[1]


def test_the_id_is_that_of_the_predictions(tmp_path, evaluate):
    fill(tmp_path, 3)

    def run_id(*options: object) -> str:
        evaluate("--out", tmp_path / "rows.parquet", *options)
        return rows(tmp_path / "rows.parquet")["run_id"].unique().item()

    first = run_id()
    assert first.startswith("external-")
    assert len(first) == len("external-") + 16
    assert run_id("--name", "other", "--convention", "dim") == first
    write_png(tmp_path / "predictions" / "002.png", matte(7))
    assert run_id() != first


def test_a_store_gets_the_scores_and_a_named_run(tmp_path, evaluate):
    fill(tmp_path, 3)
    options = ["--store", tmp_path / "store", "--name", "ModNet", "--dataset", "P3M", "--truth", "estimated"]
    for convention in ("p3m", "dim", "dim"):  # a second time: nothing counts twice
        assert evaluate(*options, "--convention", convention, "--quantised", "floored").code == 0
    store = Store(tmp_path / "store")
    run = store.read("runs").to_dict("records")
    assert [(row["method"], row["status"]) for row in run] == [("ModNet", "finished")]
    scores = store.read("scores")
    assert len(scores) == 3 * 5 * 2
    assert set(scores["run_id"]) == {run[0]["run_id"]}
    for column, value in {
        "dataset": "P3M",
        "protocol": "external",
        "truth": "estimated",
        "quantised": "floored",
    }.items():
        assert set(scores[column]) == {value}
    whole = scores[(scores["image"] == "001") & (scores["convention"] == "p3m") & (scores["region"] == "whole")]
    paths = [tmp_path / side / "001.png" for side in ("predictions", "labels")]
    assert whole["sad"].item() == pytest.approx(score(*map(exact, paths))[0].sad, rel=1e-12)


def test_columns_say_their_unit(tmp_path, evaluate):
    fill(tmp_path, 1)
    evaluate("--out", tmp_path / "rows.parquet")
    schema = pq.read_schema(tmp_path / "rows.parquet")
    assert set(MEASURES) <= set(schema.names)
    for name in ("sad", "sad_unknown", "mad_boundary", "width"):
        assert schema.field(name).metadata[b"unit"]
        assert schema.field(name).metadata[b"about"]


def test_no_torch_no_ray(tmp_path):
    fill(tmp_path, 1)
    command = [
        "bench",
        "evaluate",
        "--predictions",
        str(tmp_path / "predictions"),
        "--labels",
        str(tmp_path / "labels"),
    ]
    code = (
        f"import sys; sys.argv = {command}\nfrom bench.__main__ import main\n"
        "try: main()\nexcept SystemExit as left: assert not left.code, left.code\n"
        "loaded = {'torch', 'ray', 'timm'} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "1 of 1 pairs scored" in done.stdout


def test_ctrl_c_stops_promptly_and_writes_nothing(tmp_path):
    fill(tmp_path, 60)
    folders = ["--predictions", str(tmp_path / "predictions"), "--labels", str(tmp_path / "labels")]
    out = tmp_path / "rows.parquet"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWED, "evaluate", *folders, "--out", str(out), "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()  # scoring has begun
    os.kill(process.pid, signal.SIGINT)
    asked = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10  # all sixty would take half a minute
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not out.exists()


SLOWED = """
import time
import bench.external as external
scored = external.score
def slow(*arguments, **options):
    print("scoring", flush=True)
    time.sleep(1)
    return scored(*arguments, **options)
external.score = slow
from bench.__main__ import main
main()
"""


@pytest.mark.parametrize(("convention", "level"), [("p3m", 0.5), ("dim", 0.6), ("rvm", 0.6)])
def test_an_8_bit_value_at_a_threshold_counts_as_in_the_published_code(tmp_path, evaluate, convention, level):
    """153/255 is below P3M's sixth threshold, 0.6000000000000001, as float64; read as float32 it would not be."""
    for side, value in (("predictions", 153), ("labels", 255)):
        write_png(tmp_path / side / "a.png", np.full((HEIGHT, WIDTH), value, np.uint8))
    assert evaluate("--convention", convention, "--out", tmp_path / "rows.parquet").code == 0
    frame = rows(tmp_path / "rows.parquet")
    found = frame.loc["a", "conn_whole" if convention == "dim" else "conn"]
    assert found == pytest.approx(HEIGHT * WIDTH * (1 - level) / 1000)
