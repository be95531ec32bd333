"""Matte Label Blending: a teacher from composites, then a student on natural pictures with blended labels.

The paper's two steps. Two refinements are ours. `refresh` > 1: the student's steps are split into that many rounds, and
from the second on the student of the round before is the teacher. `teacher: average`: there is one stage, on composites
and natural pictures at once, whose teacher is the student's moving average. No step is spent on a teacher that is
thrown away, and the label gets better as the student does. All else is as in `joint`, so that the two differ in the
label (and in that the model is the average).
"""

from itertools import pairwise

from wsshm.config import RunConfig
from wsshm.methods import OWN_AVERAGE, TEACHER_STEPS, Method, register
from wsshm.methods.average import decay_of
from wsshm.methods.stage import Stage
from wsshm.methods.teacher import teacher

MATTE_SHARE = 0.5
TAUGHT = {
    TEACHER_STEPS,
    *("method.matte_share", "method.blended_weight", "method.student_start", "method.blend.refresh"),
}
"""What every method with these stages reads."""
BLENDED = TAUGHT | {
    OWN_AVERAGE,
    *(f"method.blend.{key}" for key in ("variant", "threshold", "band", "feather", "veto", "when")),
}
"""What those with a blended label read."""


def stages(config: RunConfig) -> list[Stage]:
    """The teacher and `refresh` rounds of the student."""
    return with_label(config, "blended")


def with_label(config: RunConfig, label: str) -> list[Stage]:
    """MLB's stages with another label on the natural pictures: the controls differ from MLB in nothing else."""
    method = config.method
    if config.learns_at_once:
        return [_taught_by_its_average(config, label)]
    result = [teacher(config)]
    rest = config.train.steps - config.train.teacher_steps
    ends = [rest * k // method.blend.refresh for k in range(method.blend.refresh + 1)]
    for number, (begin, end) in enumerate(pairwise(ends), 1):
        previous = result[-1].name
        follows = method.student_start == "teacher" or number > 1
        result.append(
            Stage(
                "student" if method.blend.refresh == 1 else f"student{number}",
                end - begin,
                matte_share=method.matte_share or 0.0,
                photo_label=label,
                start=previous if follows else None,
                teacher=previous if label != "truth" else None,
                blend=method.blend if label in ("blended", "masklabel") else None,
                photo_weight=method.blended_weight,
                confidence=method.confidence if label == "pseudo" else 0.0,
                threshold=method.boundary if label == "pseudo" else 0.0,
            )
        )
    return result


def _taught_by_its_average(config: RunConfig, label: str) -> Stage:
    method = config.method
    return Stage(
        "student",
        config.train.steps,
        matte_share=MATTE_SHARE if method.matte_share is None else method.matte_share,
        photo_label=label,
        blend=method.blend if label in ("blended", "masklabel") else None,
        photo_weight=method.blended_weight,
        ema_decay=decay_of(config),
    )


register(Method("mlb", stages, about="Matte Label Blending", reads=BLENDED, order=5, colour="#0072b2", marker="o"))
