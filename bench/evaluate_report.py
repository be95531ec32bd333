"""The output of `wsshm bench evaluate`: what was scored, means with intervals, the worst images, and problems."""

from __future__ import annotations

import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import rich.box
import rich.table
from rich.text import Text

from bench.external import Scored, aspect_differs
from bench.external_rows import Evaluation
from bench.statistics import Interval, mean_intervals
from wsshm.errors import printable
from wsshm.measures import MEASURES, REGIONS
from wsshm.metrics import CONVENTIONS, RegionScores
from wsshm.terminal import print_whole

WORST = 5
LOSSY = (".jpg", ".jpeg")
NAMED = 10  # names of each kind of trouble that are printed
NARROW_UNIT = 10  # columns of a unit in a narrow terminal
MOST_PLACES = 6  # smaller numbers have an exponent
DEPTHS = {"uint8": "of 8 bits", "uint16": "of 16 bits", "float": "of floats"}
Intervals = dict[tuple[str, str], tuple[int, Interval]]  # by region and measure: over how many images, and the mean
PROBLEMS = {
    "label without a prediction": "labels without a prediction",
    "label without a trimap": "labels without a trimap",
    "prediction without a label": "predictions without a label",
    "trimap without a label": "trimaps without a label",
    "broken prediction": "broken predictions",
    "broken label": "broken labels",
    "broken trimap": "broken trimaps",
}


def print_evaluation(evaluation: Evaluation, truth_given: bool, out: str | None) -> None:
    """Print everything to stdout. `out` is where all names can be read."""
    for line in _head(evaluation):
        print(line)
    for line in _warnings(evaluation, truth_given):
        print(line)
    if evaluation.good:
        print()
        several = len(evaluation.good) > 1
        print(f"Means over images{' with 95 % bootstrap intervals' if several else '; a single image has no interval'}")
        intervals = _intervals(evaluation.good)
        print_whole(*(_means(evaluation, intervals, narrow) for narrow in (False, True)))
        for measure in _shown(name for _, name in intervals):
            if MEASURES[measure].value:  # of the field's own measures everybody knows what they are
                print(printable(f"{MEASURES[measure].header}: {MEASURES[measure].about}"))
        print(f"Worst {min(WORST, len(evaluation.good))} images, {_region_note(evaluation.own_region)}")
        print_whole(*(_worst(evaluation, narrow) for narrow in (False, True)))
    if evaluation.bad:
        print(f"Not scored: {len(evaluation.bad)}")
        for line in _problems(evaluation.bad, out):
            print(f"  {line}")


def _head(evaluation: Evaluation) -> Iterator[str]:
    good, request = evaluation.good, evaluation.request
    with_label = sum(one.pair.label is not None for one in evaluation.scored)
    names = printable(f"{evaluation.name} on {evaluation.dataset}")
    yield f"{names}: {len(good)} of {with_label} pairs scored"
    if request.suffix:
        yield f"Pairs: NAME{printable(request.suffix)} with the label NAME; predictions with other names were left out"
    if request.masks:
        yield "Measures of masks: prediction and label thresholded at alpha 0.5"
    else:
        convention = CONVENTIONS[request.convention]
        yield (
            f"Convention {request.convention} (metric_version {convention.version}), "
            f"whose own region is {_region_note(convention.own_region)}"
        )
    if not good:
        return
    if not request.masks:
        radii = {px for one in good for scores in one.scores if (px := scores.unknown_px) is not None}
        if request.trimaps:
            yield "Unknown region: from the trimaps"
        elif radii:
            low, high = min(radii), max(radii)
            width = f"{low}" if low == high else f"{low} to {high}"
            yield f"Unknown region: derived from the labels, their fractional pixels dilated by {width} px"
    depths = Counter(one.depth for one in good)
    how = f" ({evaluation.quantised or 'give --quantised to record how they were quantised'})"
    parts = [
        f"{count} {DEPTHS[depth]}{how if depth == 'uint8' else ''}"
        for depth, count in sorted(depths.items(), key=lambda item: -item[1])
        if depth
    ]
    resized = sum(one.resized for one in good)
    parts.append(f"{resized} resized to their label" if resized else "none resized")
    yield f"Predictions: {', '.join(parts)}"


def _warnings(evaluation: Evaluation, truth_given: bool) -> Iterator[str]:
    good, request = evaluation.good, evaluation.request
    if request.predictions.resolve() == request.labels.resolve():
        yield "Warning: predictions and labels are the same folder, so everything is scored against itself"
    elif copied := [one for one in good if one.copied]:
        yield f"Warning: identical to the label, byte for byte: {_named(copied)}"
    if turned := [one for one in good if one.turned_alone]:
        yield (
            f"Warning: orientation tag differs from the label's in {_named(turned)}; each file is turned by its own tag, so "
            "check that the pairs match"
        )
    compressed = sum(one.pair.label is not None and one.pair.label.suffix.lower() in LOSSY for one in good)
    if compressed and not request.masks:
        region = "" if request.trimaps else ", and the unknown region, derived from them, depends on the JPG quality"
        yield f"Warning: {compressed} of {len(good)} labels are JPG: compression changes their fractional pixels{region}"
    stretched = [o for o in good if o.size and o.prediction_size and aspect_differs(o.prediction_size, o.size)]
    if stretched:
        yield f"Warning: aspect ratio differs from the label's in {_named(stretched)}"
    faint = [one for one in good if one.faint and not one.flat] if request.masks else []
    if faint:
        yield f"Warning: no value reaches half of the range, so no person is found, in {_named(faint)}"
    flat = [one for one in good if one.flat]
    if flat:
        yield f"Warning: no value above 1 of the whole range in {_named(flat)}; a mask needs 255 (or 65535), not 1"
    if good and not truth_given and all(one.binary for one in good):
        yield "Hint: all labels hold two values only; if they are masks, --truth mask scores IoU and the boundary instead"


def _region_note(region: str) -> str:
    return "the whole image" if region == "whole" else f"the {region} region"


def _means(evaluation: Evaluation, intervals: Intervals, narrow: bool) -> rich.table.Table:
    """A line for each region, the convention's own first; a column for each measure that any region has."""
    own = evaluation.own_region
    shown = _shown(measure for _, measure in intervals)
    table = _table(["region", "n"], shown, evaluation, narrow)
    for region in [own, *(region for region in REGIONS if region != own)]:
        counts = [count for (place, _), (count, _) in intervals.items() if place == region]
        if counts:
            n = max(counts)
            cells = (_mean_cell(intervals.get((region, measure)), n, narrow) for measure in shown)
            table.add_row(region, str(n), *map(Text, cells))
    return table


def _intervals(good: list[Scored]) -> Intervals:
    """The means of every region and measure that has values. Those over the same images share one draw of them."""
    columns = {}
    for region in REGIONS:
        found = [one.region(region) for one in good]
        for measure in MEASURES:
            values = np.array([_value(scores, measure) for scores in found])
            if not np.isnan(values).all():
                columns[region, measure] = values
    groups: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for key, values in columns.items():
        groups[np.isnan(values).tobytes()].append(key)
    result: Intervals = {}
    for keys in groups.values():
        table = np.column_stack([columns[key] for key in keys])
        table = table[~np.isnan(table[:, 0])]
        result |= {key: (len(table), each) for key, each in zip(keys, mean_intervals(table), strict=True)}
    return result


def _worst(evaluation: Evaluation, narrow: bool) -> rich.table.Table:
    """The images with the largest error (the smallest IoU) by the convention's headline measure, which comes first."""
    own = [(one.pair.image, scores) for one in evaluation.good if (scores := one.region(evaluation.own_region))]
    shown = _shown(measure for measure in MEASURES if any(not math.isnan(_value(scores, measure)) for _, scores in own))
    headline = "iou" if evaluation.request.masks else CONVENTIONS[evaluation.request.convention].headline
    shown = [headline, *(measure for measure in shown if measure != headline)]
    sign = 1 if MEASURES[headline].higher_is_better else -1
    own = [(image, scores) for image, scores in own if not math.isnan(_value(scores, headline))]
    own.sort(key=lambda each: sign * _value(each[1], headline))
    table = _table(["image"], shown, evaluation, narrow)
    for image, scores in own[:WORST]:
        values = [_value(scores, measure) for measure in shown]
        table.add_row(
            Text(image), *("" if math.isnan(value) else _number(value, _places(value, 4)) for value in values)
        )
    return table


def _table(heads: list[str], measures: list[str], evaluation: Evaluation, narrow: bool) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1 - narrow, 0, 0))
    for head in heads:
        table.add_column(head, justify="right" if head == "n" else "left", no_wrap=True)
    convention = CONVENTIONS[evaluation.request.convention]
    for measure in measures:
        unit = convention.unit(measure)
        lines = [f"{MEASURES[measure].header} {MEASURES[measure].arrow}"]
        if unit != "1":
            lines += textwrap.wrap(unit, NARROW_UNIT) if narrow else [unit]
        table.add_column(Text("\n".join(lines)), justify="right", no_wrap=True)
    return table


def _problems(bad: list[Scored], out: str | None) -> Iterator[str]:
    for one_of, many in PROBLEMS.items():
        named = [one for one in bad if one.problem == one_of]
        if named:
            rest = f" (all in {out})" if out else " (all with --out)"
            names = _names(named)
            yield f"{len(named)} {one_of if len(named) == 1 else many}: {names}{rest if len(named) > NAMED else ''}"


def _named(some: list[Scored]) -> str:
    return f"{len(some)} {'prediction' if len(some) == 1 else 'predictions'}: {_names(some)}"


def _names(some: list[Scored]) -> str:
    listed = ", ".join(one.pair.image for one in some[:NAMED])
    return f"{listed} and {len(some) - NAMED} more" if len(some) > NAMED else listed


def _value(scores: RegionScores | None, measure: str) -> float:
    value = None if scores is None else scores.value(measure)
    return math.nan if value is None else float(value)


def _shown(measures: Iterable[str]) -> list[str]:
    present = set(measures)
    return [measure for measure in MEASURES if measure in present]


def _mean_cell(found: tuple[int, Interval] | None, n: int, narrow: bool) -> str:
    """The mean, and in brackets its interval; where it is over fewer images than the region has, how many."""
    if found is None:
        return ""
    count, interval = found
    places, bounds = _places(interval.mean, 3), ""
    if interval.known:  # two digits of the half-width say what is known; a constant column needs no more than six
        half_width = (interval.high - interval.low) / 2
        places = min(max(places, _places(half_width, 2)), _places(interval.mean, 6))
        before, between = ("\n[", ",\n") if narrow else (" [", ", ")
        bounds = f"{before}{_number(interval.low, places)}{between}{_number(interval.high, places)}]"
    fewer = "" if count == n else f"\nn={count}" if narrow else f" n={count}"
    return f"{_number(interval.mean, places)}{bounds}{fewer}"


def _number(value: float, places: int) -> str:
    """A number with these decimals; with an exponent if they would show less than two of its digits."""
    if not value:
        return "0"
    if places > 1 and abs(value) < 10.0 ** (1 - places):
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.{places}f}"


def _places(value: float, digits: int) -> int:
    """Decimals that show so many significant digits of a value."""
    return min(MOST_PLACES, max(0, digits - 1 - math.floor(math.log10(abs(value))))) if value else 0
