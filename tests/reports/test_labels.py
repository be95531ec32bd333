"""Which photos to have matted next: compared with sums over pixels, and refused where there is nothing to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reports
from bench.store import Store
from reports.labels import rank
from tests.reports.commands import mistake, rows
from tests.reports.commands import reports as command
from wsshm.data.manifest import Manifest, Sample

SIZE, PHOTOS, MATTED, UNSEEN = 16, 7, 5, 6
RULE = {"protocol": "short128", "convention": "p3m", "metric_version": "p3m-1", "truth": "mask", "quantised": "none"}


def drawn(index: int, teacher: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mask, what a teacher says of it, and where the band is."""
    rng = np.random.default_rng([index, teacher])
    mask = np.zeros((SIZE, SIZE))
    mask[4:12, 3 : 8 + index] = 1
    matte = np.clip(mask + rng.normal(0, 0.3, mask.shape) * (rng.random(mask.shape) < 0.2 + 0.1 * index), 0, 1)
    band = np.zeros(mask.shape, bool)
    band[3:13, 2 : 9 + index] = True
    band[5:11, 4 : 7 + index] = False
    return mask, matte, band


def score_rows(teacher: int, images: range, **changes: str) -> list[dict]:
    """Rows as a sweep keeps them: plain sums."""
    made = []
    for index in images:
        mask, matte, band = drawn(index, teacher)
        error = np.abs(matte - mask)
        for region, part in (("whole", error), ("unknown", error[band])):
            key = {"run_id": f"teacher-{teacher:016x}", "dataset": "photos.parquet", "image": f"photo{index}"}
            values = {"sad": part.sum() / 1000, "mad": part.mean(), "mse": (part**2).mean()}
            iou = {"iou": 0.9 - 0.1 * teacher} if region == "whole" else {}
            made.append({**RULE, **key, "region": region, **values, **iou, **changes})
    return made


def photos(path: Path) -> Path:
    samples = [
        Sample(
            f"photo{index}",
            "train",
            "photo",
            "natural",
            image=f"image/{index}.png",
            mask=f"mask/{index}.png",
            matte=f"matte/{index}.png" if index == MATTED else None,
            attributes={"hair": "long" if index % 2 else "short"},
        )
        for index in range(PHOTOS)
    ]
    return Manifest(path.parent, [*samples, Sample("scene", "train", "background", image="b.png")]).write(path)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """A manifest, and a store with two teachers' rows of all photos but one."""
    store = Store(tmp_path / "store")
    for teacher in (1, 2):
        store.write("scores", score_rows(teacher, range(UNSEEN)))
    return photos(tmp_path / "photos.parquet"), tmp_path / "store"


def expected(teachers: tuple[int, ...] = (1, 2)) -> pd.DataFrame:
    found = []
    for index in (i for i in range(UNSEEN) if i != MATTED):
        for teacher in teachers:
            mask, matte, band = drawn(index, teacher)
            outside = np.abs(matte - mask)[~band].sum() / mask.size * 1000
            edge = (4 * matte * (1 - matte))[band].sum() / mask.size * 1000
            found.append({"id": f"photo{index}", "outside": outside, "edge": edge, "score": outside + edge})
    groups = pd.DataFrame(found).groupby("id")
    frame = groups.mean().assign(score_sd=groups["score"].std()).reset_index()
    return frame.sort_values("score", ascending=False, ignore_index=True)


def test_scores_are_sums_over_pixels_averaged_over_teachers(place: tuple[Path, Path]) -> None:
    ranking = rank(place[1], place[0])
    true = expected()
    assert list(ranking.frame["id"]) == list(true["id"])
    for name in ("score", "score_sd", "outside", "edge"):
        assert ranking.frame[name].to_numpy() == pytest.approx(true[name].to_numpy())
    assert set(ranking.frame["teachers"]) == {2}
    assert ranking.frame["iou"].to_numpy() == pytest.approx(0.75)
    assert ranking.notes == [
        "Left out: 1 photo with a matte already.",
        "Not ranked: 1 photo that no teacher was compared with (outside of the runs' budgets).",
    ]
    assert "photo5" in set(rank(place[1], place[0], matted=True).frame["id"])


def test_the_command_prints_and_writes_photos_with_their_attributes(place: tuple[Path, Path], tmp_path: Path) -> None:
    said = command("labels", place[0], "--store", place[1], "--number", 3)
    assert said.code == 0, said.err
    true = expected()
    lines = [line for line in said.out.splitlines() if "photo" in line and "image/" in line]
    assert [line.split()[1] for line in lines] == list(true["id"][:3])
    assert lines[0].split()[2] == f"{true['score'][0]:.1f}"
    assert "1 photo with a matte" in said.err
    written = command("labels", place[0], "--store", place[1], "--out", tmp_path / "next.csv")
    assert (written.code, written.out) == (0, "")
    listed = rows((tmp_path / "next.csv").read_text())
    assert [row["id"] for row in listed] == list(true["id"])
    assert listed[0]["image"] == str(tmp_path / "image" / f"{listed[0]['id'][-1]}.png")
    assert {row["attribute.hair"] for row in listed} == {"long", "short"}
    frame = reports.open(place[1]).labels(place[0])
    assert [float(row["score"]) for row in listed] == pytest.approx(list(frame["score"]))


def test_ties_go_by_id_and_equal_mattes_score_nothing(tmp_path: Path) -> None:
    made = [row | {"sad": 0.0, "mad": 0.0, "mse": 0.0} for row in score_rows(1, range(4))]
    Store(tmp_path / "store").write("scores", made[::-1])
    frame = rank(tmp_path / "store", photos(tmp_path / "photos.parquet")).frame
    assert list(frame["id"]) == ["photo0", "photo1", "photo2", "photo3"]
    assert set(frame["score"]) == {0.0}
    assert frame["score_sd"].isna().all()  # one teacher has no spread


def test_rows_under_another_rule_are_never_averaged_in(place: tuple[Path, Path]) -> None:
    Store(place[1]).write("scores", score_rows(3, range(UNSEEN), protocol="short512"))
    ranking = rank(place[1], place[0])
    assert ranking.rule["protocol"] == "short128"
    assert ranking.frame["score"].to_numpy() == pytest.approx(expected()["score"].to_numpy())
    assert ranking.notes[0] == "Left out: 1 teacher under another protocol or version of the measures."


def test_of_several_data_sets_the_one_with_the_manifests_name_counts(place: tuple[Path, Path]) -> None:
    Store(place[1]).write("scores", score_rows(9, range(UNSEEN), dataset="data/others.parquet"))
    assert rank(place[1], place[0]).frame["score"].to_numpy() == pytest.approx(expected()["score"].to_numpy())
    other = rank(place[1], place[0], dataset="data/others.parquet")
    assert set(other.frame["teachers"]) == {1}
    assert "'photos.parquet'" in mistake("labels", place[0], "--store", place[1], "--dataset", "photo.parquet")
    renamed = photos(place[0].with_name("renamed.parquet"))
    assert "choose one with --dataset" in mistake("labels", renamed, "--store", place[1])


def test_what_cannot_be_ranked_is_refused_in_a_sentence(place: tuple[Path, Path], tmp_path: Path) -> None:
    rows_of_a_store = next(Path(place[1], "scores").glob("*.parquet"))
    assert "is not a manifest of samples: it has no column 'id'" in mistake(
        "labels", rows_of_a_store, "--store", place[1]
    )
    (tmp_path / "plan.yaml").write_text("name: mine\nbase: {}\n")
    assert "it is not a Parquet file" in mistake("labels", tmp_path / "plan.yaml", "--store", place[1])
    empty = Store(tmp_path / "other")
    empty.write("scores", [row | {"run_id": "a"} for row in score_rows(1, range(2))])
    assert "holds no comparison of a teacher with masks" in mistake("labels", place[0], "--store", tmp_path / "other")
    assert "no manifest at" in mistake("labels", tmp_path / "none.parquet", "--store", place[1])
    bare = Manifest(tmp_path, [Sample("photo0", "train", "photo", image="a.png")]).write(tmp_path / "bare.parquet")
    assert "no photo with a mask" in mistake("labels", bare, "--store", place[1])
    full = [Sample("photo0", "train", "photo", image="a.png", mask="m.png", matte="t.png")]
    matted = Manifest(tmp_path, full).write(tmp_path / "matted.parquet")
    assert "--matted ranks them" in mistake("labels", matted, "--store", place[1])
    assert command("labels", matted, "--store", place[1], "--matted").code == 0
    strange = Manifest(tmp_path, [Sample("x", "train", "photo", image="a.png", mask="m.png")]).write(
        tmp_path / "x.parquet"
    )
    assert "no teacher was compared with a photo of" in mistake("labels", strange, "--store", place[1])
    unseen = [Sample("photo6", "train", "photo", image="a", mask="m"), full[0]]
    last = Manifest(tmp_path, unseen).write(tmp_path / "photos2.parquet")
    assert "a larger budget.masks" in mistake("labels", last, "--store", place[1])
