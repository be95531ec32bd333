"""Mean Teacher: in each batch composites with their mattes and (half, by default) natural pictures labelled by the
student's own moving average. Never reads a mask.

Tarvainen and Valpola, "Mean teachers are better role models", arXiv 1703.01780: the average's decay grows as
1 - 1/(t+1) up to 0.999 (here to less in runs of under 12,000 steps, see `decay_of`), it sees another view of the picture
than the student, and the consistency's weight is ramped up. The loss terms are those of all methods here, in place of
their mean squared error; they hold mattes together, not boundaries, which composites alone teach. The weight's default,
a tenth, was the better of two (1 and 0.1) on the embedded set's validation: at 1 the label is half grey before the student
knows people, and it learns to keep it so. In short runs on real photos a tenth is too much (reports/findings.md).
"""

from wsshm.config import RunConfig
from wsshm.methods import Method, register
from wsshm.methods.average import decay_of
from wsshm.methods.stage import Stage

MATTE_SHARE = 0.5


def stages(config: RunConfig) -> list[Stage]:
    """One stage on mixed batches; the average is the model in the end. `train.ema` sets another decay."""
    share = config.method.matte_share
    return [
        Stage(
            "student",
            config.train.steps,
            matte_share=MATTE_SHARE if share is None else share,
            photo_label="average",
            photo_weight=config.method.consistency_weight,
            ramp=config.method.consistency_ramp,
            ema_decay=decay_of(config),
        )
    ]


register(
    Method(
        "mean_teacher",
        stages,
        about="composites, and natural pictures labelled by the student's own average",
        reads={"method.matte_share", "method.consistency_weight", "method.consistency_ramp"},
    )
)
