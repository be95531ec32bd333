"""The field's error measures of a matte. Values are per image; a data set's value is the plain mean over its images.

`score` gives every measure of one image at once; `functional` has one function a measure, for arrays and tensors;
`accumulating` has torchmetrics classes.
"""

from wsshm.measures import MEASURES, REGIONS, Measure
from wsshm.metrics.conventions import CONVENTIONS, Convention
from wsshm.metrics.inputs import exact_levels
from wsshm.metrics.scores import RegionScores, score, score_mask
from wsshm.metrics.trimap import derive_trimap, unknown_radius

__all__ = [
    "CONVENTIONS",
    "MEASURES",
    "REGIONS",
    "Convention",
    "Measure",
    "RegionScores",
    "derive_trimap",
    "exact_levels",
    "score",
    "score_mask",
    "unknown_radius",
]
