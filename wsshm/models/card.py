"""A model's README: what it was trained on and with which labels, how good it is, and at which sizes it runs.

The head is the metadata that the Hugging Face hub reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from wsshm.config import RunConfig
from wsshm.errors import redacted
from wsshm.grades import GRADES
from wsshm.models import name_of, text_of, weights
from wsshm.models.catalogue import licence
from wsshm.models.checkpoint import ModelCard, check_model
from wsshm.models.families import described
from wsshm.models.trial import stride_of

PAGE = "README.md"


@dataclass(frozen=True)
class Score:
    """A mean over the images of a test set and its 95 % interval, both as they are printed."""

    dataset: str
    measure: str
    mean: str
    interval: str
    images: int
    protocol: str


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from: what is known of its training. Sentences may be empty, where nothing is known."""

    run_id: str = ""
    data: str = ""
    labels: str = ""
    scores: Sequence[Score] = ()


def trained_by(config: RunConfig, run_id: str, mattes: int, masks: Mapping[str, int]) -> Provenance:
    """What a run's configuration and its counts of labels say of its model; `masks` are by grade."""
    data = config.data
    sources = [f"mattes of `{data.mattes}`"] if mattes else []
    sources += [f"photos and masks of `{data.masks}`"] if masks else []
    sources += [f"validated on `{data.val}`"]
    counts = [(mattes, "mattes"), *((masks.get(grade, 0), f"{grade} masks") for grade in GRADES)]
    labels = " and ".join(f"{count:,} {kind}" for count, kind in counts if count)
    return Provenance(run_id, ", ".join(sources), labels or "none")


def page(card: ModelCard, known: Provenance) -> str:
    """The README as Markdown."""
    stride = stride_of(card.backbone, card.backbone_kwargs, card.architecture)
    sizes = " and ".join(f"{size}x{size}" for size in card.sizes or [card.size])
    rows = [
        ("architecture", f"`{text_of(card.architecture)}`"),
        ("backbone", f"`{card.backbone}`" + (f" with `{card.backbone_kwargs}`" if card.backbone_kwargs else "")),
        ("backbone's weights at the start", _weights(card)),
        ("method", f"`{card.method}`" if card.method else ""),
        ("run", f"`{known.run_id}`" if known.run_id else ""),
        ("trained at", f"{sizes} px"),
        ("runs at", f"multiples of {stride} px; the backbone: {described(card.backbone, card.backbone_kwargs)}"),
        ("trained on", known.data),
        ("labels", known.labels),
    ]
    head = {
        "library_name": "wsshm",
        "pipeline_tag": "image-segmentation",
        "tags": ["human-matting", "alpha-matting", "timm", name_of(card.architecture)],
    }
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# Human matting: {name_of(card.architecture)} over {card.backbone}",
        "Predicts the opacity (alpha) of the people in a photo, and where their boundary lies.",
        "| | |\n|---|---|\n" + "\n".join(f"| {what} | {_cell(value)} |" for what, value in rows if value),
        "## Errors",
        _scores(known.scores),
        "## Use",
        "```python\nimport wsshm\n\nmatter = wsshm.load(FOLDER)  # this folder\nmatte = matter(image)  # H x W x 3 uint8 in,"
        " H x W float32 out\n```",
        f"Or `wsshm predict FOLDER photo.jpg --out mattes`. Pictures are best shown at a shorter side of {card.size} px, which"
        " is what both do.",
        "Nothing is said here about a licence of this model itself: whoever publishes it adds one that the data and the"
        " backbone's weights allow.",
    ]
    return "\n\n".join(lines) + "\n"


def write_page(folder: Path, known: Provenance) -> None:
    """Write the README of the model in a local folder; secrets in addresses of data are left out."""
    (folder / PAGE).write_text(redacted(page(check_model(folder), known)))


def _weights(card: ModelCard) -> str:
    if card.weights == "none":
        return "random"
    if card.weights in ("hub", "package"):
        package = weights.PACKAGES.get(card.backbone) if card.weights == "package" else None
        origin = f"the package {package.distribution}" if package else f"the {card.weights}"
        return (
            f"from {origin}; licence as timm states it for `{card.backbone}`: {licence(card.backbone) or 'none stated'}"
        )
    return "from a file; its licence is not known here"


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return "Not scored yet: `wsshm bench accuracy FOLDER --data manifest.parquet` does."
    head = "| test set | images | input | measure | mean | 95 % interval |\n|---|---:|---|---|---:|---|\n"
    rows = (
        f"| {_cell(s.dataset)} | {s.images} | {s.protocol} | {s.measure} | {s.mean} | {s.interval} |" for s in scores
    )
    return (
        head
        + "\n".join(rows)
        + "\n\nIntervals are bootstrapped over images; another seed of the same training may lie outside them."
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
