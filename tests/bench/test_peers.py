"""Other people's models: descriptions, pictures in and mattes out by hand, rows, mistakes; and the four files at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.peers import Description, Given, Peer, described, given, names, read, shipped
from bench.peers.matting import PeerModel
from bench.peers.speed import expand_peers
from bench.settings import Protocol
from bench.speed import speed_table
from bench.store import Store
from reports.page import build
from tests.bench import peer_files
from tests.reports.pages import Page
from tests.wsshm import tiny
from wsshm import metrics
from wsshm.config import parse
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask, read_matte
from wsshm.errors import UserError

AT_HAND = Path(__file__).resolve().parents[3] / "shared" / "data"
QUICK = Protocol(warmup_calls=1, warmup_seconds=0, calls=6, seconds=0, max_seconds=10)
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
RED = PICTURE[..., 0] / 255


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def model(file: Path, **changes: Any) -> PeerModel:
    told: Description = parse(peer_files.document(**changes), Description, "the test's description")
    return PeerModel(Given(Peer("red", told), file))


def said(*arguments: object) -> str:
    """What a command that a mistake ends has to say."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_every_shipped_description_is_sound_and_those_that_were_not_run_say_so() -> None:
    assert {"rvm", "u2netp", "meet", "selfie", "modnet", "isnet", "birefnet", "rmbg14", "rmbg2"} <= set(names())
    for name in names():
        told = shipped(name).description
        assert told.tried == (told.sha256 is not None)
        assert told.licence.commercial is False or "rmbg" not in name


def test_a_picture_at_its_own_size_is_fed_as_described(tmp_path: Path) -> None:
    red = peer_files.first_channel(tmp_path / "red.onnx")
    assert np.allclose(model(red)(PICTURE).matte, RED, atol=1e-6)
    blue = model(red, input={"layout": "NCHW", "channels": "BGR"})(PICTURE).matte
    assert np.allclose(blue, PICTURE[..., 2] / 255, atol=1e-6)
    dark = PICTURE // 2
    own = model(red, input={"layout": "NCHW", "scale": "own maximum"})(dark).matte
    assert np.allclose(own, dark[..., 0] / dark.max(), atol=1e-6)
    shifted = model(
        red,
        input={"layout": "NCHW", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]},
        output={"layout": "NCHW", "meaning": "sigmoid"},
    )(PICTURE).matte
    assert np.allclose(shifted, 1 / (1 + np.exp(-(RED - 0.5) / 0.25)), atol=1e-6)


def test_outputs_mean_what_is_described(tmp_path: Path) -> None:
    two = peer_files.red_and_blue(tmp_path / "two.onnx")
    nhwc = {"layout": "NHWC"}
    matte = model(two, input=nhwc, output=nhwc | {"meaning": "softmax"})(PICTURE).matte
    red, blue = np.exp(PICTURE[..., 0] / 255), np.exp(PICTURE[..., 2] / 255)
    assert np.allclose(matte, blue / (red + blue), atol=1e-6)
    stretched = model(peer_files.first_channel(tmp_path / "red.onnx"), output={"layout": "NCHW", "meaning": "min-max"})(
        PICTURE
    ).matte
    assert np.allclose(stretched, (RED - RED.min()) / (RED.max() - RED.min()), atol=1e-6)


def test_sizes_are_made_and_unmade(tmp_path: Path) -> None:
    fixed = peer_files.first_channel(tmp_path / "fixed.onnx", 32)
    size = {"height": 32, "width": 32}
    stretched = model(fixed, input={"layout": "NCHW", "size": size})
    small = cv2.resize(PICTURE, (32, 32), interpolation=cv2.INTER_LINEAR)[..., 0] / np.float32(255)
    assert np.allclose(stretched(PICTURE).matte, cv2.resize(small, (60, 40)), atol=1e-5)
    assert stretched.protocol == "stretched to 32x32"
    # 40 x 60 fits as 21 x 32; the rest is its last row.
    kept = model(fixed, input={"layout": "NCHW", "size": size, "resize": "keep aspect"})
    inside = cv2.resize(PICTURE, (32, 21), interpolation=cv2.INTER_LINEAR)[..., 0] / np.float32(255)
    assert np.allclose(kept(PICTURE).matte, cv2.resize(inside, (60, 40)), atol=1e-5)
    fed = kept.feeds(PICTURE)["x"]
    assert fed.shape == (1, 3, 32, 32)
    assert np.array_equal(fed[..., 21:, :], np.repeat(fed[..., 20:21, :], 11, axis=2))
    free = peer_files.first_channel(tmp_path / "free.onnx")
    padded = model(free, input={"layout": "NCHW", "size": {"multiple": 32}, "resize": "keep aspect"})
    assert padded.feeds(PICTURE)["x"].shape == (1, 3, 64, 64)
    assert np.allclose(padded(PICTURE).matte, RED, atol=1e-6)
    short = model(free, input={"layout": "NCHW", "size": {"short_side": 64, "multiple": 32}})
    assert short.feeds(PICTURE)["x"].shape == (1, 3, 64, 96)
    assert (padded.protocol, short.protocol) == ("native, multiples of 32", "short64, multiples of 32")


STATEFUL = {
    "extra_inputs": [{"name": "f", "longest_side": 30}],
    "states": [{"input": "s", "output": "t"}],
}


def test_states_go_on_from_frame_to_frame_and_single_pictures_start_anew(tmp_path: Path) -> None:
    peer = model(peer_files.remembering(tmp_path / "r.onnx"), **STATEFUL)
    half = RED / 2  # min(1, 30 / 60)
    first, states = peer.follow(PICTURE, {})
    second, _ = peer.follow(PICTURE, states)
    assert np.allclose(first.matte, half, atol=1e-6)
    assert np.allclose(second.matte, half + 0.1, atol=1e-6)
    assert np.allclose(peer(PICTURE).matte, half, atol=1e-6)
    assert np.allclose(peer.feeds(PICTURE[:20, :20])["f"], [1.0])


def test_peers_are_scored_as_our_models_and_stand_beside_runs(root: Path, tmp_path: Path) -> None:
    red = peer_files.first_channel(tmp_path / "red.onnx")
    mine, other = (
        peer_files.describe(tmp_path / "mine.yaml"),
        peer_files.describe(tmp_path / "padded.yaml", sha256="0" * 64),
    )
    words = [
        "--data",
        root / "test.parquet",
        "--peer",
        f"{mine}={red}",
        "--peer",
        f"{other}={red}",
        "--store",
        tmp_path / "s",
    ]
    result = CliRunner().invoke(app, ["accuracy", *map(str, words)])
    assert result.exit_code == 0, result.output
    assert re.search(r"whole +mine +native +2 ", result.output)
    runs = Store(tmp_path / "s").read("runs")
    assert list(runs["method"]) == ["padded"]  # the same file, fed alike: one identity, the last name
    [run_id] = runs["run_id"]
    assert re.fullmatch(r"peer-[0-9a-f]{16}", run_id)
    assert runs[["architecture", "backbone", "seed", "mattes", "masks", "cost_s"]].isna().all(axis=None)
    kept = json.loads(runs["config"][0])["peer"]
    assert (kept["licence"]["weights"], kept["given"], kept["protocol"]) == ("CC BY-NC 4.0", "red.onnx", "native")
    scores, tests = Store(tmp_path / "s").read("scores"), Manifest.read(root / "test.parquet")
    for sample in tests.samples:
        image, label = read_image(tests.path(sample, "image")), read_matte(tests.path(sample, "matte"))
        expected = next(s for s in metrics.score(image[..., 0].astype(np.float32) / 255, label) if s.region == "whole")
        [row] = scores[(scores["image"] == sample.id) & (scores["region"] == "whole")].to_dict("records")
        assert row["sad"] == pytest.approx(expected.sad, rel=1e-5)
        assert row["run_id"] == run_id


def test_a_report_of_peers_alone_names_licences(root: Path, tmp_path: Path) -> None:
    red, fixed = peer_files.first_channel(tmp_path / "red.onnx"), peer_files.first_channel(tmp_path / "fixed.onnx", 32)
    size = {"layout": "NCHW", "size": {"height": 32, "width": 32}}
    one, two = peer_files.describe(tmp_path / "one.yaml"), peer_files.describe(tmp_path / "two.yaml", input=size)
    words = [
        "--data",
        root / "test.parquet",
        "--peer",
        f"{one}={red}",
        "--peer",
        f"{two}={fixed}",
        "--store",
        tmp_path / "s",
    ]
    assert CliRunner().invoke(app, ["accuracy", *map(str, words)]).exit_code == 0
    text = str(Page(build(tmp_path / "s", tmp_path / "report").read_text()).text)
    assert "No run of this suite, but 2 models of other people" in text
    assert "CC BY-NC 4.0" in text
    assert "non-commercial" in text
    table = (tmp_path / "report" / "tables" / "peers.csv").read_text()
    assert {line.split(",")[1] for line in table.splitlines()[1:]} == {
        "one",
        "two",
    }  # side by side, whatever their rules


def test_timings_are_rows_with_the_files_hash(tmp_path: Path) -> None:
    recurrent = peer_files.describe(tmp_path / "remembers.yaml", **STATEFUL)
    fixed = peer_files.describe(tmp_path / "fixed.yaml", input={"layout": "NCHW", "size": {"height": 32, "width": 32}})
    files = [peer_files.remembering(tmp_path / "r.onnx"), peer_files.first_channel(tmp_path / "f.onnx", 32)]
    peers = given([f"{recurrent}={files[0]}", f"{fixed}={files[1]}"])
    specs = expand_peers(peers, [(64, 96), (128, 128)], ["model", "end_to_end"])
    assert [(s.name, s.scope, s.height, s.width) for s in specs if s.name == "fixed"] == [
        ("fixed", "model", 32, 32),
        ("fixed", "end_to_end", 64, 96),
        ("fixed", "end_to_end", 128, 128),
    ]
    chosen = [spec for spec in specs if spec.height < 128]
    rows = speed_table(chosen, threads=1, protocol=QUICK, store=Store(tmp_path / "s"), processes=1)
    assert [(row["model"], row["scope"], row["height"], row["width"]) for row in rows] == [
        ("remembers", "model", 64, 96),
        ("remembers", "end_to_end", 64, 96),
        ("fixed", "model", 32, 32),
        ("fixed", "end_to_end", 64, 96),
    ]
    kept = Store(tmp_path / "s").read("speed")
    assert set(kept["architecture"]) == {"remembers", "fixed"}
    assert kept["backbone"].isna().all()
    assert set(kept["engine"]) == {"onnxruntime"}
    assert kept["device"].str.endswith(", 1 thread").all()
    assert [row["params"] for row in rows] == [5, 5, 3, 3]
    for row, spec in zip(rows, chosen, strict=True):
        assert json.loads(row["versions"])["sha256"] == spec.sha256
        assert row["run_id"] == spec.description.run_id(spec.sha256)
        assert row["n"] == 6 * row["processes"]


def test_the_commands_list_and_tell() -> None:
    listed = CliRunner().invoke(app, ["peers"]).output
    assert all(name in listed for name in names())
    assert "not tried here" in " ".join(listed.split())
    told = CliRunner().invoke(app, ["peers", "rmbg14"]).output
    assert re.search(r"commercial use +not allowed", told)
    assert re.search(r"obtained from +https://huggingface.co/briaai/RMBG-1.4", told)
    assert "min(1, 512 / longer side)" in CliRunner().invoke(app, ["peers", "rvm"]).output


def test_names_and_files_of_ones_own(tmp_path: Path) -> None:
    assert described("rvm") == described("rvm.yaml") == shipped("rvm")
    own = peer_files.describe(tmp_path / "rvm.yaml")
    assert described(str(own)).description.title == "Red"
    assert read(own).name == "rvm"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inputt": 1}, "unknown key 'inputt'; the nearest valid choice"),
        ({"output": {"layout": "NCHW", "meaning": "logit"}}, "output.meaning = 'logit'"),
        ({"input": {"layout": "NCHW", "size": {"height": 32}}}, "height and width belong together"),
        ({"input": {"layout": "NCHW", "std": [1, 0, 1]}}, "impossible input.std.1 = 0"),
        (
            {"states": [{"input": "s", "output": "t", "outputs": "t"}]},
            "unknown key 'states.0.outputs'; the nearest valid choices are 'output', 'input'",
        ),
        ({"extra_inputs": [{"name": "f"}]}, "an extra input is a value or"),
        ({"format": "tflite"}, "a tflite file is run at one size"),
        ({"sha256": "abc"}, "impossible sha256"),
    ],
)
def test_a_wrong_description_is_a_sentence(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = peer_files.describe(tmp_path / "mine.yaml", **changes)
    assert named in said("peers", path)


def test_wrong_files_are_a_sentence_each(root: Path, tmp_path: Path) -> None:
    data = ["--data", root / "test.parquet"]
    empty, text = tmp_path / "empty.onnx", tmp_path / "text.onnx"
    empty.touch()
    text.write_text("not a network")
    red, states = peer_files.first_channel(tmp_path / "red.onnx"), peer_files.remembering(tmp_path / "r.onnx")
    mine = peer_files.describe(tmp_path / "mine.yaml")

    def refused(peer: object, file: Path) -> str:
        sentence = said("accuracy", *data, "--peer", f"{peer}={file}", "--store", tmp_path / "s")
        assert str(file) in sentence
        assert "\n" not in sentence
        assert not (tmp_path / "s").exists()
        return sentence

    assert "there is no file" in refused("rvm", tmp_path / "absent.onnx")
    assert "is empty (0 bytes)" in refused("rvm", empty)
    assert "is no ONNX file" in refused("rvm", text)
    assert "is no TFLite file" in refused("selfie", text)
    assert "has no input 'src', which rvm describes; its inputs are 'x'" in refused("rvm", red)
    assert "also wants the input 'f', 's', which mine does not describe" in refused(mine, states)
    lacking = peer_files.describe(tmp_path / "lacking.yaml", **STATEFUL | {"states": [{"input": "s", "output": "u"}]})
    assert "has no output 'u'" in refused(lacking, states)
    other = peer_files.describe(tmp_path / "other.yaml", input={"layout": "NHWC"})
    assert "the shape 1 x 3 x any x any, not the shape 1 x any x any x 3" in refused(other, red)
    soft = peer_files.describe(tmp_path / "soft.yaml", output={"layout": "NCHW", "meaning": "softmax"})
    assert "the output 'y'" in refused(soft, red)
    flat = peer_files.save(
        tmp_path / "flat.onnx",
        [peer_files.helper.make_node("Flatten", ["x"], ["y"])],
        [("x", [1, 3, "h", "w"])],
        [("y", [1, "n"])],
    )
    assert "the output 'y' of" in refused(mine, flat)
    assert "has the shape 1 x any, where alpha in NCHW is the shape 1 x 1 x any x any" in refused(mine, flat)
    loud = peer_files.describe(tmp_path / "loud.yaml", input={"layout": "NCHW", "std": [0.1, 0.1, 0.1]})
    assert "which are no alpha; if they are logits, describe them as sigmoid" in refused(loud, red)


def test_mistakes_at_the_commands_are_named(root: Path, tmp_path: Path) -> None:
    data = ["--data", root / "test.parquet"]
    red = peer_files.first_channel(tmp_path / "red.onnx")
    assert "nothing is given to be scored" in said("accuracy", *data)
    assert "--peer takes PEER=FILE" in said("accuracy", *data, "--peer", "rvm")
    assert "no peer 'rvn'; the nearest valid choice is 'rvm'" in said("accuracy", *data, "--peer", f"rvn={red}")
    assert "no peer 'u2net'; the nearest valid choices are 'u2netp', " in said("peers", "u2net")
    assert "there is no file absent.yaml" in said("speed", "--peer", f"absent.yaml={red}")
    assert "--peer is given 'rvm' twice" in said("speed", "--peer", f"rvm={red}", "--peer", f"rvm={red}")
    assert "has no input 'src'" in said("speed", "--peer", f"rvm={red}")
    assert "a peer's input rule is" in said("accuracy", *data, "--peer", f"rvm={red}", "--protocol", "native")


def test_another_file_than_the_described_one_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model(peer_files.first_channel(tmp_path / "red.onnx"), sha256="0" * 64)
    assert "is not the file that red describes" in caplog.text


@pytest.mark.skipif(not AT_HAND.is_dir(), reason="the four files and the photos lie beside the project, not in it")
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("rvm", [0.943, 0.960, 0.967]),
        ("u2netp", [0.970, 0.949, 0.969]),
        ("meet", [0.929, 0.930, 0.947]),
        ("selfie", [0.940, 0.935, 0.956]),
    ],
)
def test_the_files_at_hand_give_the_ious_known_of_them(name: str, published: list[float]) -> None:
    peer = PeerModel(Given(shipped(name), AT_HAND / "peers" / shipped(name).description.file), threads=1)
    assert peer.sha256 == peer.description.sha256
    found = []
    for photo in ("0070", "0316", "0629"):
        person = peer(read_image(AT_HAND / "photos" / "images" / f"{photo}.jpg")).matte >= 0.5
        mask = read_mask(AT_HAND / "photos" / "masks" / f"{photo}.png") == 1
        found.append((person & mask).sum() / (person | mask).sum())
    print(f"{name}: {', '.join(f'{iou:.3f}' for iou in found)}")  # what bench/README.md shows
    assert found == pytest.approx(published, abs=0.01)
