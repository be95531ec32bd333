"""The figure of `wsshm data stats`: a small histogram of every quantity, by split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wsshm.data.stats import ALL, Measured, by_split
from wsshm.files.whole import whole_file

if TYPE_CHECKING:
    import pandas as pd

PANELS = {
    "megapixels": ("size of pictures", "megapixels", 1.0),
    "person": ("people's share", "% of the picture", 100.0),
    "soft": ("softness of mattes", "% of a person's pixels", 100.0),
    "mask_iou": ("masks against their mattes", "IoU", 1.0),
    "mask_boundary_f": ("masks against their mattes", "boundary F", 1.0),
    "mask_boundary_error": ("masks against their mattes", "boundary error, 10⁻³ of the shorter side", 1.0),
}
COLOURS = {"train": "#0072b2", "val": "#e69f00", "test": "#009e73"}  # of Okabe and Ito: seen by all
PANEL_IN, HEIGHT_IN, DPI = 2.6, 2.4, 150
FEW_BINS, MANY_BINS = 8, 24


def draw(samples: Sequence[Measured], out: Path) -> Path:
    """Write the figure (.png): a panel for each quantity that was measured, each split's histogram summing to 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    import pandas as pd
    import seaborn as sns
    from matplotlib.figure import Figure

    frame = pd.DataFrame(
        [{"split": each.split, **{name: getattr(each, name) for name in PANELS}} for each in samples]
    ).astype(dict.fromkeys(PANELS, float))
    shown = [name for name in PANELS if frame[name].notna().any()] or ["megapixels"]
    groups = by_split(samples)
    splits = [split for split in groups if split != ALL]
    # About the square root of the samples of the smallest split.
    bins = min(MANY_BINS, max(FEW_BINS, math.isqrt(min(len(groups[split]) for split in splits))))
    with sns.axes_style("ticks"), sns.plotting_context("paper"):
        figure = Figure(figsize=(PANEL_IN * len(shown), HEIGHT_IN), dpi=DPI, layout="constrained")
        for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            title, unit, scale = PANELS[name]
            sns.histplot(
                **{
                    "data": _scaled(frame, name, scale),
                    "x": name,
                    "hue": "split",
                    "hue_order": splits,
                    "palette": COLOURS,
                },
                **{
                    "ax": axes,
                    "bins": bins,
                    "stat": "proportion",
                    "common_norm": False,
                    "element": "step",
                    "alpha": 0.25,
                },
                legend=False,
            )
            axes.set(title=title, xlabel=unit, ylabel="share of samples" if name == shown[0] else "")
            axes.grid(axis="y", color="0.9", linewidth=0.6)
            axes.set_axisbelow(True)
            sns.despine(ax=axes)
        handles = [mpl.patches.Patch(color=COLOURS[split], alpha=0.6) for split in splits]
        labels = [f"{split} ({len(groups[split]):,})" for split in splits]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(splits), frameon=False)
        with whole_file(out) as temporary:
            figure.savefig(temporary, format="png")
    return out


def _scaled(frame: pd.DataFrame, name: str, scale: float) -> pd.DataFrame:
    known = frame.loc[frame[name].notna(), ["split", name]]
    return known.assign(**{name: known[name] * scale})
