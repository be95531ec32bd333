"""Scored predictions as rows: one per image for a file, and the results store's long form."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench import provenance
from bench.external import Request, Scored, predictions_id
from bench.schema import SCHEMAS, table_schema
from bench.store import FINISHED, Store
from wsshm.errors import UserError, printable
from wsshm.files.tables import check_file, write_table
from wsshm.measures import MEASURES, REGIONS
from wsshm.metrics import CONVENTIONS

PROTOCOL = "external"  # how these predictions came about is not known here


@dataclass(frozen=True)
class Evaluation:
    """Scored pairs and what is said about them; `quantised` is how the predictions were brought to 8 bits."""

    request: Request
    scored: list[Scored]
    dataset: str
    name: str
    truth: str
    quantised: str | None
    started: datetime

    @property
    def run_id(self) -> str:
        return predictions_id(self.scored)

    @property
    def good(self) -> list[Scored]:
        return [one for one in self.scored if one.status == "ok"]

    @property
    def bad(self) -> list[Scored]:
        return [one for one in self.scored if one.status != "ok"]

    @property
    def own_region(self) -> str:
        """The region that the convention itself reports."""
        return "whole" if self.request.masks else CONVENTIONS[self.request.convention].own_region

    def quantised_of(self, one: Scored) -> str | None:
        return self.quantised if one.depth == "uint8" else "none"


def image_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per label, prediction or trimap that stands alone, and pair; values in the store's unscaled units."""
    run_id, own = evaluation.run_id, evaluation.own_region
    convention = CONVENTIONS[evaluation.request.convention]
    rows = []
    for one in evaluation.scored:
        pair = one.pair
        row: dict[str, Any] = {
            "image": pair.image,
            "status": one.status,
            "reason": one.reason or None,
            **{role: _text(getattr(pair, role)) for role in ("prediction", "label", "trimap")},
            "dataset": evaluation.dataset,
            "name": evaluation.name,
            "run_id": run_id,
            "convention": convention.name,
            "metric_version": convention.version,
            "truth": evaluation.truth,
            "region": own,
        }
        if one.size and one.prediction_size:
            row |= dict(zip(("width", "height"), one.size, strict=True))
            row |= dict(zip(("prediction_width", "prediction_height"), one.prediction_size, strict=True))
            row |= {"resized": one.resized, "depth": one.depth, "quantised": evaluation.quantised_of(one)}
        for scores in one.scores:
            values = scores.as_row()
            suffix = "" if scores.region == own else f"_{scores.region}"
            row |= {f"{m.name}{suffix}": values.get(m.name) for m in MEASURES.values() if scores.region in m.regions}
            row |= {column: values[column] for column in ("convention", "metric_version")}
            if scores.unknown_px is not None:
                row["unknown_px"] = scores.unknown_px
        rows.append(row)
    return rows


def image_schema(own_region: str) -> pa.Schema:
    """The Parquet file's columns, with units and descriptions as in the store's schemas."""
    shared = SCHEMAS["scores"]
    described = [
        _field("image", pa.string(), "name of the files without their ending; CLIP/NAME in sequences"),
        _field("status", pa.string(), "ok | missing | extra | broken"),
        _field("reason", pa.string(), "why the image was not scored"),
        _field("prediction", pa.string(), "file of the prediction"),
        _field("label", pa.string(), "file of the label"),
        _field("trimap", pa.string(), "file of the trimap; null where it was derived from the label"),
        _field("width", pa.int64(), "width of the label", "pixels"),
        _field("height", pa.int64(), "height of the label", "pixels"),
        _field("prediction_width", pa.int64(), "width of the prediction's file", "pixels"),
        _field("prediction_height", pa.int64(), "height of the prediction's file", "pixels"),
        _field("resized", pa.bool_(), "whether the prediction was resized to its label"),
        _field("depth", pa.string(), "values of the prediction's file: uint8 | uint16 | float"),
        shared.field("dataset"),
        _field("name", pa.string(), "display name of the predictions"),
        *(shared.field(name) for name in ("run_id", "convention", "metric_version", "truth")),
        shared.field("region").with_metadata({"unit": "", "about": "region of the measures without a suffix"}),
        *(shared.field(name) for name in ("unknown_px", "quantised")),
    ]
    regions = [own_region, *(region for region in REGIONS if region != own_region)]
    measures = [
        shared.field(name).with_name(name if region == own_region else f"{name}_{region}")
        for region in regions
        for name, measure in MEASURES.items()
        if region in measure.regions
    ]
    return table_schema(*described, *measures)


def score_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of the store's table `scores`: one per scored image and region."""
    run_id = evaluation.run_id
    return [
        {
            "run_id": run_id,
            "dataset": evaluation.dataset,
            "image": one.pair.image,
            "protocol": PROTOCOL,
            "truth": evaluation.truth,
            "quantised": evaluation.quantised_of(one),
        }
        | scores.as_row()
        for one in evaluation.good
        for scores in one.scores
    ]


def run_row(evaluation: Evaluation) -> dict[str, Any]:
    """The row of the store's table `runs` that gives the scores a name."""
    commit, dirty = provenance.git_state()
    options = {
        key: _text(value) if isinstance(value, Path) else value for key, value in asdict(evaluation.request).items()
    }
    return {
        "run_id": evaluation.run_id,
        "method": evaluation.name,
        "config": json.dumps({"evaluate": options | {"pairs": len(evaluation.scored), "scored": len(evaluation.good)}}),
        "status": FINISHED,
        "versions": json.dumps(provenance.versions()),
        "git_commit": commit,
        "git_dirty": dirty,
        "started": evaluation.started,
        "finished": provenance.now(),
    }


def write_images(evaluation: Evaluation, out: Path) -> None:
    """Write the rows per image as the file's ending says, whole or not at all."""
    table = pa.Table.from_pylist(image_rows(evaluation), image_schema(evaluation.own_region))
    write_table(out, table)


def write_store(evaluation: Evaluation, store: Store) -> None:
    """Add the scores, then the run that makes them count."""
    store.write("scores", score_rows(evaluation))
    store.write("runs", [run_row(evaluation)])


def check_targets(out: Path | None, store: str | None) -> None:
    """UserError unless both can be written, before work is done that would be lost."""
    if out is not None:
        check_file(out)
        image_schema(REGIONS[0])
        _check_folder(out.absolute().parent, f"--out {out}")
    if store is not None and "://" not in store:
        _check_folder(Path(store).absolute(), f"--store {store}")


def _check_folder(folder: Path, option: str) -> None:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{option} cannot be written, as {existing} is not a folder to write to; give another path")


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "about": about})


def _text(path: Path | None) -> str | None:
    return None if path is None else printable(str(path))  # a name that is not UTF-8 is no text to Arrow
