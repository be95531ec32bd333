"""What a model's README says of its labels' cost and of its errors: the run's own rows, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.cost import CostModel
from bench.statistics import LEVEL, mean_interval
from wsshm.config import RunConfig
from wsshm.measures import MEASURES
from wsshm.models.card import Provenance, Score, trained_by

WHOLE = "whole"


def provenance(
    config: RunConfig,
    run_id: str,
    mattes: int,
    masks: Mapping[str, int],
    rows: Sequence[dict[str, Any]],
    prices: CostModel,
) -> Provenance:
    """What is known of a finished run with these `rows` of the table `scores`; `masks` are by grade."""
    known = trained_by(config, run_id, mattes, masks)
    cost = f"{known.labels}: {prices.format(prices.of(mattes, masks))} of annotation. {prices.describe(masks)}"
    return replace(known, labels=cost, scores=list(_scores(rows)))


def _scores(rows: Sequence[dict[str, Any]]) -> Iterator[Score]:
    sets: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["region"] == WHOLE:
            sets.setdefault((row["dataset"], row["protocol"], row["truth"]), []).append(row)
    for (dataset, protocol, truth), members in sets.items():
        for name, measure in MEASURES.items():
            values = [row[name] * measure.scale for row in members if row.get(name) is not None]
            if WHOLE in measure.reported and values:
                found = mean_interval(values, level=LEVEL)
                unit = f" {measure.printed_unit}" if measure.printed_unit else ""
                yield Score(
                    dataset=dataset if truth == "exact" else f"{dataset} (labels: {truth})",
                    measure=f"{measure.header} {measure.arrow}",
                    mean=f"{found.mean:.4g}{unit}",
                    interval=f"{found.low:.4g} to {found.high:.4g}" if found.known else "not known",
                    images=len(values),
                    protocol=protocol,
                )
