"""`wsshm report gains`: the best baseline by validation, differences to it by setting and test set, sentences, the figure."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from bench.store import Store
from reports import gains, gains_table, settings
from reports.figures import gains as figures
from reports.figures import style
from reports.measures import BY_NAME
from tests.reports.commands import Said, rows
from tests.reports.example_store import BACKBONE, run_row
from tests.reports.stored_findings import HERE, bounds, table, together
from wsshm.__main__ import main
from wsshm.config import parse

LIKE, UNLIKE = "procedural/test", "procedural/test-shifted"
IMAGES = 30
HARDNESS = np.random.default_rng(3).lognormal(0, 0.6, IMAGES)
# Of each recipe, as (method, teacher): its seeds, validation SAD, and levels on both test sets. By validation joint is the
# best baseline; by either test set seg_only were.
STUDY = {
    ("joint", None): ((0, 1, 2), 0.70, (1.0, 2.0)),
    ("seg_only", None): ((0, 1, 2), 0.75, (0.85, 1.7)),
    ("matte_only", None): ((0,), 1.80, (1.6, 2.6)),
    ("mlb", "average"): ((0, 1, 2), 0.65, (0.75, 1.5)),
    ("mlb", "stage"): ((0, 1), 0.72, (1.0, 2.5)),
    ("matte_then_seg", None): ((7,), 0.74, (0.8, 2.0)),
    ("pseudo_label", None): ((0,), 0.90, (1.5, 2.6)),
    ("mlb_masklabel", "stage"): ((0,), 0.10, (0.5, 1.0)),
    ("oracle", "stage"): ((0, 1), 0.60, (0.6, None)),
}
LABELS = {"seg_only": (0, 1000), "matte_only": (40, 0), "oracle": (1040, 0)}


def one(
    store: Store, method: str, teacher: str | None, seed: int, val_sad: float | None, levels: dict, **changes: object
) -> str:
    """Write a run with its last validation error, and on each test set its scores at a level (None: not scored there)."""
    config = {
        "method": {"name": method} | ({"blend": {"teacher": teacher}} if teacher else {}),
        "data": {"size": changes.pop("size", 128)},
        "model": {"backbone": BACKBONE},
    }
    config["method"] |= changes.pop("keys", {})  # type: ignore[operator]
    run_id = f"{method}-{seed}-{zlib.crc32(json.dumps([config, changes]).encode()):08x}"
    changes = {"run_id": run_id, "config": json.dumps(config), "stages": ["student:aa"]} | changes
    store.write("runs", [run_row(method, *LABELS.get(method, (40, 1000)), seed, **changes)])
    rng = np.random.default_rng(zlib.crc32(run_id.encode()))
    protocol = f"short{config['data']['size']}"
    shared = {"run_id": run_id, "protocol": protocol, "convention": "p3m", "truth": "exact", "metric_version": "1"}
    scores = []
    for dataset, level in levels.items():
        if level is not None:
            offset = rng.normal(0, 0.02)
            for image, hardness in enumerate(HARDNESS):
                sad = float(level * hardness * (1 + offset + rng.normal(0, 0.1)))
                own = shared | {"dataset": dataset, "image": f"{dataset}-{image:03d}"}
                scores.append(own | {"region": "whole", "sad": sad, "iou": float(np.exp(-sad / 5))})
                scores.append(own | {"region": "unknown", "sad": sad * hardness})
    store.write("scores", scores)
    if val_sad is not None:
        values = [(1, 9.9), (2, val_sad + 0.01 * (seed - 1))]
        own = {"run_id": run_id, "stage": "student", "key": "val_sad"}
        store.write("epochs", [own | {"epoch": epoch, "value": value} for epoch, value in values])
    return run_id


def filled(store: Store, study: dict = STUDY, **changes: object) -> None:
    for (method, teacher), (seeds, val_sad, levels) in study.items():
        for seed in seeds:
            one(store, method, teacher, seed, val_sad, dict(zip((LIKE, UNLIKE), levels, strict=True)), **changes)


def document(**of_setting: object) -> dict:
    drawn = {"name": "drawn, 128 px", "store": "drawn", "masks": {"iou": 0.86, "command": "wsshm bench evaluate"}}
    drawn |= {"runs": {"backbone": BACKBONE}, "tests": {"like": LIKE, "unlike": UNLIKE}}
    return {"baselines": ["joint", "seg_only", "matte_only"], "settings": [drawn | of_setting]}


def written(folder: Path, content: dict, name: str = "settings.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


def wsshm(*arguments: object) -> Said:
    """`wsshm ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["wsshm", *map(str, arguments)])
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main()
    return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def refused(*arguments: object) -> str:
    """The one sentence that `wsshm report gains ARGUMENTS` refuses with."""
    said = wsshm("report", "gains", *arguments)
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores: `drawn`, with runs over another backbone too, and `finer`, of one seed and one test set."""
    folder = tmp_path_factory.mktemp("study")
    filled(Store(folder / "drawn"))
    one(Store(folder / "drawn"), "mlb", "average", 0, 0.1, {LIKE: 0.1, UNLIKE: 0.1}, backbone="resnet18")
    one(Store(folder / "drawn"), "joint", None, 0, 0.1, {LIKE: 0.1, UNLIKE: 0.1}, backbone="resnet18")
    finer = Store(folder / "finer")
    one(finer, "joint", None, 0, 0.5, {LIKE: 1.0}, recipe_version="2")
    one(finer, "mlb", "average", 0, 0.4, {LIKE: 0.95}, recipe_version="2")
    both = document()
    both["settings"].append(
        {
            "name": "finer",
            "store": "finer",
            "masks": {"iou": 0.95, "command": "wsshm data stats"},
            "tests": {"like": LIKE},
        }
    )
    written(folder, both)
    return folder


@pytest.fixture(scope="module")
def listed(folder: Path) -> pd.DataFrame:
    said = wsshm("report", "gains", folder / "settings.yaml", "--format", "csv")
    assert said.code == 0, said.err
    return pd.DataFrame(rows(said.out)).set_index(["setting", "role", "label"])


def wide(folder: Path, dataset: str) -> dict[str, pd.DataFrame]:
    """{recipe: a row an image, a column a seed} of the setting, by pandas alone."""
    runs = Store(folder / "drawn").read("runs").query("backbone == @BACKBONE").set_index("run_id")
    teacher = runs["config"].map(lambda text: json.loads(text)["method"].get("blend", {}).get("teacher"))
    names = runs["method"].where(runs["method"] != "mlb", runs["method"] + ", teacher=" + teacher.fillna(""))
    scores = Store(folder / "drawn").read("scores").query("dataset == @dataset and region == 'whole'")
    scores = scores[scores["run_id"].isin(runs.index)]
    scores = scores.assign(name=scores["run_id"].map(names), seed=scores["run_id"].map(runs["seed"]))
    return {name: part.pivot_table("sad", "image", "seed") for name, part in scores.groupby("name")}


@pytest.mark.parametrize(("role", "dataset"), [("like", LIKE), ("unlike", UNLIKE)])
def test_percent_interval_and_seeds_are_those_of_plain_pandas(
    folder: Path, listed: pd.DataFrame, role: str, dataset: str
) -> None:
    values = wide(folder, dataset)
    base = values.pop("joint")
    shown = listed.loc["drawn, 128 px", role]
    assert set(shown.index) == {*values, "joint"}
    sides = {}
    for name, own in values.items():
        common = own.columns.intersection(base.columns)
        seeds = (common, common) if len(common) else (own.columns, base.columns)
        sides[name] = own[seeds[0]].mean(axis=1), base[seeds[1]].mean(axis=1)
        assert int(shown.loc[name, "seeds"]) == len(common)
        signs = np.sign([(own[seed] - base[seed]).mean() for seed in common])
        assert float(shown.loc[name, "agreeing"]) == (signs == np.sign((sides[name][0] - sides[name][1]).mean())).sum()
    half = together(pd.DataFrame({name: a - b for name, (a, b) in sides.items()}))
    for name, (a, b) in sides.items():
        percent = 100 * (a.mean() / b.mean() - 1)
        width = 100 * half[name] / b.mean()
        row = shown.loc[name]
        assert float(row["percent"]) == pytest.approx(percent, rel=1e-9)
        ends = [float(row["percent_low"]), float(row["percent_high"])]
        assert ends == pytest.approx([percent - width, percent + width], abs=0.12 * width)
        verdict = "better" if ends[1] < 0 else "worse" if ends[0] > 0 else "no significant difference"
        assert row["verdict"] == verdict
    assert float(shown.loc["joint", "mean"]) == pytest.approx(base.mean(axis=None))
    assert shown.loc["joint", "percent"] == ""


def test_the_best_baseline_is_validations_not_tests(folder: Path, listed: pd.DataFrame) -> None:
    for dataset in (LIKE, UNLIKE):
        means = {name: own.mean(axis=None) for name, own in wide(folder, dataset).items()}
        baselines = {name: means[name] for name in ("joint", "seg_only", "matte_only")}
        assert min(baselines, key=baselines.__getitem__) == "seg_only"
    drawn = listed.loc["drawn, 128 px"]
    assert set(drawn["against"]) == {"joint"}
    kinds = drawn.reset_index()[["label", "kind"]].drop_duplicates().set_index("label")["kind"]
    assert dict(kinds[kinds != ""]) == {"joint": "best baseline", "mlb_masklabel": "control", "oracle": "control"}
    # The mean over seeds of the last epoch.
    assert float(drawn.loc[("like", "joint"), "val_sad"]) == pytest.approx(0.70)


def test_how_many_seeds_agree(tmp_path: Path) -> None:
    """Three seeds, one of which is worse; the mean is better."""
    store = Store(tmp_path / "drawn")
    for seed, level in enumerate((0.5, 0.5, 1.4)):
        one(store, "joint", None, seed, 0.7, {LIKE: 1.0, UNLIKE: 1.0})
        one(store, "mlb", "average", seed, 0.7, {LIKE: level, UNLIKE: level})
    said = wsshm("report", "gains", written(tmp_path, document()), "--format", "markdown")
    [line] = [line for line in said.out.splitlines() if line.startswith("| mlb")]
    assert line.count(", 2 of 3 seeds)") == 2


def test_the_printed_table(folder: Path) -> None:
    said = wsshm("report", "gains", folder / "settings.yaml")
    assert said.code == 0, said.err
    tables = [line for line in said.out.splitlines() if not re.match(r"Every method minus|.*: 40 mattes", line)]
    assert max(map(len, tables)) <= 100
    assert "in 1 setting" in said.out  # it needs two parts
    whole = wsshm("report", "gains", folder / "settings.yaml", "--format", "markdown").out
    head, _, *lines = [line for line in whole.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "method",
        "drawn, 128 px, IoU 0.860; like; minus joint",
        "drawn, 128 px, IoU 0.860; unlike; minus joint",
        "finer, IoU 0.950; like; minus joint",
    ]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in (x.strip("|").split("|") for x in lines)}
    assert list(cells) == [
        *("matte\\_only", "seg\\_only", "joint", "matte\\_then\\_seg", "pseudo\\_label"),
        *("mlb, teacher=average", "mlb, teacher=stage", "mlb\\_masklabel (control)", "oracle (control)"),
    ]
    # Not scored there, not trained there.
    assert cells["oracle (control)"][1:] == ["–", "–"]
    assert re.fullmatch(r"−\d+\.\d better \(−\d+\.\d to −\d+\.\d, 2 of 2 seeds\)", cells["oracle (control)"][0])
    assert re.fullmatch(r"best baseline \(\d\.\d{3} 10³ px, 3 seeds\)", cells["joint"][0])
    assert cells["matte\\_then\\_seg"][0].endswith("no seed shared)")
    assert cells["pseudo\\_label"][1].startswith("+")
    assert "worse (+" in cells["pseudo\\_label"][1]
    assert re.fullmatch(r"[−+]?\d+\.\d \(−\d+\.\d to \+\d+\.\d, 1 seed\)", cells["mlb, teacher=average"][2])
    assert "like the training pictures, procedural/test; unlike the training pictures, procedural/test-shifted" in whole


def test_a_sentence_a_setting(folder: Path) -> None:
    first, second = wsshm("report", "gains", folder / "settings.yaml").out.rstrip().split("\n\n")[-2:]
    assert first == (
        f"drawn, 128 px: 40 mattes + 1,000 masks, masks of IoU 0.860, unet over {BACKBONE}, recipe 1. The best baseline on"
        " validation is joint (SAD 0.700; seg_only 0.750, matte_only 1.790). Significantly better than it on both test"
        " sets: seg_only; mlb, teacher=average. On procedural/test alone: matte_then_seg. 3 others are not."
    )
    assert second.endswith(
        "(SAD 0.490; no other was trained). No method is significantly better than it on procedural/test."
    )


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (((1.0, 1.0), (1.5, 1.5)), "No method is significantly better than it on either test set."),
        (((1.0, 1.0), (1.5, 0.5)), f"Significantly better than it on {UNLIKE} alone: mlb."),
        (
            ((1.0, 1.0), (0.5, None)),
            f"Significantly better than it on {LIKE}, the only one that it was scored on: mlb.",
        ),
        (((1.0, 1.0), (0.5, 0.5)), "Significantly better than it on both test sets: mlb."),
    ],
)
def test_where_a_method_is_better(tmp_path: Path, levels: tuple, said: str) -> None:
    base, own = levels
    filled(
        Store(tmp_path / "drawn"), {("joint", None): ((0,), 0.7, base), ("mlb", "average"): ((0,), 0.7, own)} | OTHER
    )
    last = wsshm("report", "gains", written(tmp_path, document())).out.rstrip().split("\n\n")[-1]
    assert last.endswith(said) or last.endswith(f"{said} 1 other is not.")


OTHER = {("seg_only", None): ((0,), 0.9, (1.0, 1.0))}


def test_a_variant_stands_by_validation_on_both_test_sets(tmp_path: Path) -> None:
    store = Store(tmp_path / "drawn")
    one(store, "joint", None, 0, 0.8, {LIKE: 0.5, UNLIKE: 0.5}, keys={"matte_share": 0.25})
    one(store, "joint", None, 0, 0.7, {LIKE: 1.0, UNLIKE: 1.0}, keys={"matte_share": 0.75})
    one(store, "mlb", "average", 0, 0.6, {LIKE: 0.9, UNLIKE: 0.9})
    found = gains.gains(written(tmp_path, document()), BY_NAME["sad"])
    assert set(found.frame["against"]) == {"joint, matte_share=0.75"}
    own = found.frame[found.frame["kind"] == gains.BASELINE]
    assert list(own["variant"]) == ["joint, matte_share=0.75"] * 2
    assert list(own["label"]) == ["joint"] * 2
    assert own["mean"].min() > 0.9


def test_another_measure_and_region(folder: Path) -> None:
    like = {}
    for options in (("--region", "unknown"), ("--measure", "sad_unknown"), ("--measure", "iou"), ()):
        said = wsshm("report", "gains", folder / "settings.yaml", "--format", "csv", *options)
        assert said.code == 0, said.err
        like[options] = pd.DataFrame(rows(said.out)).query("role == 'like'").set_index(["setting", "label"])
    unknown, named, iou, whole = like.values()
    pd.testing.assert_frame_equal(unknown, named)
    assert set(unknown["measure"]) == {"sad_unknown"}
    assert (unknown["percent"] != whole["percent"]).sum() > 3
    best = ("drawn, 128 px", "mlb, teacher=average")
    assert float(iou.loc[best, "percent"]) > 0  # more of it is better
    assert iou.loc[best, "verdict"] == "better"
    assert set(iou["against"]) == set(whole["against"])


def test_what_tells_runs_apart(folder: Path, tmp_path: Path) -> None:
    """By backbone, by size, by grade: each is asked for where the store holds several, and found where it is given."""
    file = folder / "apart.yaml"
    file.write_text(yaml.safe_dump(document(runs={})))
    assert f"backbone is resnet18 and {BACKBONE}; say which by backbone in its runs" in refused(file)
    file.write_text(yaml.safe_dump(document(runs={"backbone": "resnet50"})))
    assert f"backbone there is resnet18 and {BACKBONE}, not resnet50" in refused(file)
    store = Store(tmp_path / "drawn")
    pair = {key: ((0,), val, levels) for key, (_, val, levels) in list(STUDY.items())[:1] + list(STUDY.items())[3:4]}
    filled(store, pair, size=128)
    filled(store, pair, size=192)
    filled(store, pair, size=192, masks_fine=1000)
    file = written(tmp_path, document(runs={"size": 128}))
    assert wsshm("report", "gains", file).code == 0
    for runs, said in (
        ({}, "protocol is short128 and short192; say which by protocol in its runs"),
        ({"size": 256}, "data.size there is 128 and 192, not 256"),
        ({"size": 192}, "several numbers of labels"),
        ({"size": 192, "grade": "expert"}, "not grade expert"),
        ({"size": 192, "mattes": 41}, "not mattes 41"),
        ({"grade": "exprt"}, "masks have no grade 'exprt'; the nearest valid choice is 'expert'"),
    ):
        assert said in refused(written(tmp_path, document(runs=runs), "other.yaml"))
    fine = {"size": 192, "grade": "fine"}
    found = gains.gains(written(tmp_path, document(runs=fine), "fine.yaml"), BY_NAME["sad"])
    assert "(1,000 fine)" in gains_table.sentences(found)[0]
    assert set(found.frame["protocol"]) == {"short192"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (document() | {"baselines": ["jiont"]}, "has baselines.0 = 'jiont'; the nearest valid choice is 'joint'"),
        (document() | {"baselines": ["oracle"]}, "impossible baselines.0 = 'oracle': a control answers a question"),
        (document() | {"rival": "oracle"}, "impossible rival = 'oracle': a control answers a question"),
        (
            document() | {"baselines": ["mean_teacher"]},
            "has no scored run of mean_teacher with 40 mattes + 1,000 masks",
        ),
        (document() | {"stores": []}, "unknown key 'stores'"),
        (document(stroe="x"), "unknown key 'settings.0.stroe'; the nearest valid choice is 'store'"),
        (
            document(runs={"bakbone": "x"}),
            "unknown key 'settings.0.runs.bakbone'; the nearest valid choice is 'backbone'",
        ),
        (document(tests={}), "settings.0.tests: name a test set, such as {like: procedural/test"),
        (document(masks={"iou": 1.2, "command": "x"}), "impossible settings.0.masks.iou = 1.2"),
        (document(tests={"like": "procedural/tset"}), "was scored on 'procedural/tset'; the nearest valid choice"),
        (document(store="elsewhere"), "elsewhere does not exist"),
        ({"settings": []}, "impossible settings"),
        ({"settings": document()["settings"] * 2}, "two settings are named 'drawn, 128 px'"),
    ],
)
def test_mistakes_in_the_file_are_named(folder: Path, content: dict, said: str) -> None:
    assert said in refused(written(folder, content, "wrong.yaml"))


def test_other_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    file = folder / "settings.yaml"
    assert "there is no file" in refused(tmp_path / "none.yaml")
    assert "no measure 'sda'" in refused(file, "--measure", "sda")
    assert "no measure 'iou' of the region unknown" in refused(file, "--measure", "iou", "--region", "unknown")
    assert "no region 'unkown'" in refused(file, "--region", "unkown")
    assert "is of one measure; name one of sad and mse" in refused(file, "--measure", "sad,mse")
    assert "no format 'html'" in refused(file, "--format", "html", "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert "does not say what to draw" in refused(file, "--figure", tmp_path / "a.jpg")
    assert "is in the store" in refused(file, "--out", folder / "finer" / "out")
    # A score of another measure alone, and none of one region.
    assert "the best baseline of the setting 'drawn, 128 px', lacks values of Grad" in refused(
        file, "--measure", "grad"
    )
    assert "has a score of fractional pixels on procedural/test" in refused(file, "--measure", "mad_boundary")


def test_without_validation_there_is_no_best_baseline(tmp_path: Path) -> None:
    store = Store(tmp_path / "drawn")
    one(store, "joint", None, 0, 0.7, {LIKE: 1.0, UNLIKE: 1.0})
    one(store, "joint", None, 1, None, {LIKE: 1.0, UNLIKE: 1.0})
    one(store, "seg_only", None, 0, 0.7, {LIKE: 1.0, UNLIKE: 1.0})
    said = refused(written(tmp_path, document()))
    assert "cannot be chosen, as runs of joint in" in said
    assert "leave it out of baselines" in said
    without = written(tmp_path, document() | {"baselines": ["seg_only"]})
    found = gains.gains(without, BY_NAME["sad"])
    assert {each.against for each in found.judged} == {"seg_only"}


def test_a_figure_needs_more_than_baselines(tmp_path: Path) -> None:
    filled(Store(tmp_path / "drawn"), {key: STUDY[key] for key in (("joint", None), ("seg_only", None))})
    file = written(tmp_path, document())
    assert wsshm("report", "gains", file).code == 0
    assert "no setting has runs of mlb or of another method" in refused(file, "--figure", tmp_path / "a.png")
    only = {("joint", None): STUDY["joint", None]}
    filled(Store(tmp_path / "alone"), only)
    assert "nothing beside joint has a value of SAD" in refused(written(tmp_path, document(store="alone"), "b.yaml"))


@pytest.fixture(scope="module")
def drawn(folder: Path) -> pd.DataFrame:
    return gains_table.drawn(gains.gains(folder / "settings.yaml", BY_NAME["sad"]))


DRAWN = [("drawn, 128 px", role) for role in ("like", "unlike")]


def test_what_the_figure_shows(drawn: pd.DataFrame, listed: pd.DataFrame) -> None:
    """MLB in both forms, and of the others that are neither baselines nor controls the best on validation."""
    shown = drawn.set_index(["setting", "role", "label"])
    best = gains_table.OTHER
    mlb = ("mlb, teacher=average", "mlb, teacher=stage")
    both = {(*place, label, label) for place in DRAWN for label in mlb} | {(*p, "matte_then_seg", best) for p in DRAWN}
    found = {(*key, series) for key, series in shown["series"].items()}
    assert found == both | {("finer", "like", mlb[0], mlb[0])}
    for key, row in shown.iterrows():
        percent = [float(listed.loc[key, name]) for name in ("percent", "percent_high", "percent_low")]
        assert [-row["gain"], -row["gain_low"], -row["gain_high"]] == pytest.approx(percent)


def test_a_broad_table_is_one_for_each_kind_of_test_set(folder: Path) -> None:
    """Four settings with two test sets each, and one with one: five columns and four, each cell as in the narrow table."""
    given = yaml.safe_load((folder / "settings.yaml").read_text())
    drawn, finer = given["settings"]
    again = [drawn | {"name": f"drawn {letter}"} for letter in "abcd"]
    broad = written(folder, given | {"settings": [*again, finer]}, "broad.yaml")
    said = wsshm("report", "gains", broad, "--format", "markdown").out
    tables = [part.splitlines() for part in said.split("\n\n") if part.startswith("|")]
    narrow = wsshm("report", "gains", folder / "settings.yaml", "--format", "markdown").out
    whole = {line.split(" | ")[0]: line.strip("|").split(" | ") for line in narrow.splitlines() if line[:1] == "|"}
    assert [lines[0].count(" | ") for lines in tables] == [5, 4]
    assert said.index("**On pictures like the") < said.index("**On pictures unlike the")
    for lines, place in zip(tables, (1, 2), strict=True):
        assert "like;" not in lines[0]
        for line in lines[2:]:
            cells = line.strip("|").split(" | ")
            assert {cell.strip() for cell in cells[1:5]} == {whole[line.split(" | ")[0]][place].strip()}


def test_a_rival_is_drawn_by_its_name(folder: Path) -> None:
    text = (folder / "settings.yaml").read_text()
    (folder / "rival.yaml").write_text(f"rival: matte_then_seg\n{text}")
    found = gains_table.drawn(gains.gains(folder / "rival.yaml", BY_NAME["sad"]))
    by_role = found[found["setting"] == "drawn, 128 px"].groupby("role")["series"].agg(set)
    # pseudo_label is the best of what is left.
    series = {"mlb, teacher=average", "mlb, teacher=stage", "matte_then_seg", gains_table.OTHER}
    assert dict(by_role) == {"like": series, "unlike": series}
    assert set(found.loc[found["series"] == gains_table.OTHER, "label"]) == {"pseudo_label"}


def test_every_mark_stands_at_its_gain(drawn: pd.DataFrame) -> None:
    with style.theme():
        figure = figures.draw(drawn)
    panels = figure.axes
    assert [axes.get_title(loc="left").splitlines()[1] for axes in panels] == [LIKE, UNLIKE]
    for axes, role in zip(panels, ("like", "unlike"), strict=True):
        part = drawn[drawn["role"] == role]
        marks = [line for line in axes.lines if line.get_marker() in ("o", "s", "^")]
        assert [line.get_ydata()[0] for line in marks] == pytest.approx(list(part["gain"]))
        ends = [tuple(line.get_ydata()) for line in axes.lines if line.get_solid_capstyle() == "butt"]
        assert ends == [pytest.approx(pair) for pair in zip(part["gain_low"], part["gain_high"], strict=True)]
        filled_ = [line.get_markerfacecolor() != style.PAPER for line in marks]
        assert filled_ == list(part["verdict"] != "no significant difference")
        for line, iou in zip(marks, part["iou"], strict=True):
            assert abs(line.get_xdata()[0] - iou) < 0.01
        letters = {text.get_text(): text.xy[0] for text in axes.texts}
        assert letters == pytest.approx({"A": 0.86, "B": 0.95} if role == "like" else {"A": 0.86})
    with style.theme():
        figure.canvas.draw()
    ticks = dict(zip(panels[0].get_yticks(), (tick.get_text() for tick in panels[0].get_yticklabels()), strict=True))
    assert ticks[0] == "as much"
    assert all(said.endswith("% less" if place > 0 else "% more") for place, said in ticks.items() if place)


def test_settings_of_one_iou_stand_side_by_side_and_a_row_far_off_is_a_number(drawn: pd.DataFrame) -> None:
    copies = [drawn.assign(setting=name, iou=0.9, gain=drawn["gain"]) for name in "abc"]
    frame = pd.concat(copies, ignore_index=True)
    far = frame.index[(frame["setting"] == "c") & (frame["role"] == "like")][0]
    frame.loc[far, ["percent", "gain", "gain_low", "gain_high"]] = [400.0, -400.0, -410.0, -390.0]
    with style.theme():
        figure, alone = figures.draw(frame), figures.draw(drawn)
    axes = figure.axes[0]
    assert "moved apart" in figure.subfigs[0].get_supxlabel()
    assert "moved apart" not in alone.subfigs[0].get_supxlabel()
    letters = [text.xy[0] for text in axes.texts if text.get_text() in "ABC"]
    assert letters[0] < letters[1] < letters[2]
    assert letters[1] == pytest.approx(0.9)
    assert "↓ +400 %" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > -200


def test_what_out_writes(folder: Path, tmp_path: Path, listed: pd.DataFrame) -> None:
    out = tmp_path / "out"
    said = wsshm("report", "gains", folder / "settings.yaml", "--out", out, "--figure", tmp_path / "a.svg")
    assert said.code == 0, said.err
    assert {path.name for path in out.iterdir()} == {
        *("gains.csv", "gains.md", "gains-figure.csv", "gains.png", "gains.svg", "gains.pdf")
    }
    assert "drawn, 128 px: masks of IoU 0.860" in (tmp_path / "a.svg").read_text()
    kept = pd.DataFrame(rows((out / "gains.csv").read_text())).set_index(["setting", "role", "label"])
    pd.testing.assert_frame_equal(kept, listed)
    printed = wsshm("report", "gains", folder / "settings.yaml", "--format", "markdown").out
    assert (out / "gains.md").read_text() == printed
    assert "- finer: 40 mattes" in printed


ROOT = HERE.parent
README = (HERE / "README.md").read_text()


def test_the_readmes_command_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command as the page shows it, but for where it writes; its file is one that `findings/earlier.yaml` begins with."""
    [command] = re.findall(r"^wsshm (report gains .*)$", README, re.MULTILINE)
    monkeypatch.chdir(ROOT)
    said = wsshm(*shlex.split(command.replace("gains.png", str(tmp_path / "gains.png"))))
    assert said.code == 0, said.err
    assert (tmp_path / "gains.png").stat().st_size > 10_000
    [text] = re.findall(
        r"```yaml\n(.*?)```", README.partition("## Several settings")[2].partition("\n## ")[0], re.DOTALL
    )
    shown = parse(yaml.safe_load(text), settings.Settings).settings[0]
    shipped = settings.read(HERE / "findings" / "earlier.yaml").settings[0]
    assert (shown.name, shown.runs, shown.masks, shown.tests) == (
        shipped.name,
        shipped.runs,
        shipped.masks,
        shipped.tests,
    )
    keys = set(re.findall(r"`(\w+)`", README.partition("`runs` takes ")[2].partition(". A setting")[0]))
    assert keys == set(settings.Runs.model_fields)


def test_the_shipped_settings_are_those_of_the_findings() -> None:
    """Where joint is the best baseline, a column has the numbers of the findings' own table, and the masks their IoU."""
    file = HERE / "findings" / "earlier.yaml"
    found = gains.gains(file, BY_NAME["sad"]).frame.set_index(["setting", "role", "label"])
    stores = {each.name: Path(each.store).name for each in settings.read(file).settings}
    of_masks = {cells[0] for cells in table("by masks", "one stage").values()}
    held = 0
    for (setting, _, label), row in found.iterrows():
        if row["recipe_version"] != "1":
            continue
        assert f"{row['iou']:.3f}" in of_masks
        if row["against"] == "joint" and label == "mlb, teacher=average":
            shown = table("against joint", stores[setting])["mlb, one stage"][0]
            # Rows that stand in another family have another share of its error.
            assert row["percent"] == pytest.approx(bounds(shown)[0], abs=0.051)
            assert row["percent_low"] == pytest.approx(bounds(shown)[1], abs=0.5)
            held += 1
    assert held >= 5
