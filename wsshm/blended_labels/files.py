"""The command `wsshm blend`: a teacher's labels for all pictures of a manifest, and a manifest that lists them."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ray

from wsshm.blended_labels.labeller import Task, size_seen
from wsshm.blended_labels.labels import LabelFolder, file_of, kinds_of
from wsshm.blended_labels.making import Labellers, make_labels
from wsshm.config import BlendConfig
from wsshm.console import track
from wsshm.data.fetching import at_once
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_size
from wsshm.errors import UserError, nearest, redacted
from wsshm.files.filesystems import RemoteError
from wsshm.files.location import Location, check_writable
from wsshm.models.checkpoint import load_model
from wsshm.ray_cluster import check_named, connect

MANIFEST = "manifest.parquet"
DEVICES = ("auto", "cpu", "cuda")


def blend_manifest(
    model: Path, data: Path | str, out: Path | str, blend: BlendConfig, size: int | None, device: str
) -> tuple[Location, list[str]]:
    """Label every photo with a mask, over the cluster; returns OUT/manifest.parquet and a sentence for each failure.

    The manifest's `matte` is the label; the paths of share and weight are among its attributes. What an earlier call
    labelled is kept, as long as picture and mask are the same. A picture that could not be labelled is left out.
    Raises UserError for what the user gave wrong, such as an OUT that holds labels of another model or blend.
    """
    if device not in DEVICES:
        raise UserError(f"--device cannot be {device!r}; {nearest(device, DEVICES)}")
    check_named()
    size = size or size_seen(load_model(model)[1].size)
    manifest = Manifest.read(data).where(lambda s: s.kind == "photo" and s.image is not None and s.mask is not None)
    if not len(manifest):
        raise UserError(f"{redacted(data)} lists no photo with a mask; import some with `wsshm data import pairs`")
    manifest, place = manifest.around(Location.of(out)), Location.of(out)
    check_writable(place, "--out")
    folder, task = LabelFolder(place, blend), Task.of(model, blend, size)
    recipe = {
        "model": hashlib.sha256(task.weights).hexdigest()[:16],
        "blend": blend.model_dump(exclude={"when", "refresh", "teacher"}),
        "size": size,
    }
    folder.hold_against(recipe)
    manifest, failures = _hashed(manifest)
    missing = folder.missing(manifest.samples)
    if missing:
        folder.add(recipe, 0, 0.0)
        began = time.perf_counter()
        with _cluster(device) as (labellers, processor):
            made = make_labels(manifest, missing, folder, task._replace(device=processor), labellers)
            first = next(made)  # the time left goes by what follows: starting the labellers is no sign of their rate
            shown = track(itertools.chain([first], made), len(missing), "blending")
            answers = {sample.id: failure for sample, failure in shown}
        failures |= {name: failure for name, failure in answers.items() if failure}
        folder.add(recipe, sum(not failure for failure in answers.values()), time.perf_counter() - began)
    listed = manifest.where(lambda s: s.id not in failures)
    labelled = Manifest(manifest.root, (_labelled(listed, sample, place, blend) for sample in listed.samples))
    labelled.hashed().write(place / MANIFEST)
    return place / MANIFEST, list(failures.values())


@contextmanager
def _cluster(device: str) -> Iterator[tuple[Labellers, str]]:
    """Labellers for all of the cluster, and torch's name of their device; a cluster started here ends here."""
    started = connect()
    try:
        have = ray.cluster_resources()
        gpus = int(have.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise UserError("--device cuda, but the cluster has no GPU; write auto or cpu")
        if gpus and device != "cpu":
            yield Labellers(gpus, gpus=1.0), "cuda"
        else:
            yield Labellers(max(1, int(have.get("CPU", 1)))), "cpu"
    finally:
        if started:
            ray.shutdown()


def _hashed(manifest: Manifest) -> tuple[Manifest, dict[str, str]]:
    """The samples whose files are there, each with the hash of its content, and a sentence for each of the others."""
    there: list[Sample] = []
    failures: dict[str, str] = {}

    def hashed(sample: Sample) -> Sample | UserError:
        try:
            return replace(sample, sha256=manifest.content_hash(sample))
        except RemoteError:  # of the store, not of this picture
            raise
        except UserError as error:
            return error

    answers = at_once(hashed, manifest.samples)
    for sample, answer in zip(manifest.samples, track(answers, len(manifest), "reading"), strict=True):
        if isinstance(answer, Sample):
            there.append(answer)
        else:
            failures[sample.id] = str(answer)
    return Manifest(manifest.root, there), failures


def _labelled(manifest: Manifest, sample: Sample, out: Location, blend: BlendConfig) -> Sample:
    """The sample with the label as its matte, and the paths of share and weight."""
    paths = {kind: manifest.below(out.joined(file_of(kind, sample))) for kind in kinds_of(blend)}
    width, height = read_size(manifest.path(sample, "image"))
    attributes = sample.attributes | {kind: path for kind, path in paths.items() if kind != "label"}
    return replace(sample, matte=paths["label"], width=width, height=height, sha256="", attributes=attributes)
