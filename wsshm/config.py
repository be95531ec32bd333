"""The configuration of one run: typed, closed, and checked before anything is trained.

`RunConfig` is the document that `wsshm train CONFIG` takes and the `base` of a plan. An unknown key, an impossible
value or a wrong type is one sentence that names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from wsshm.errors import UserError, nearest

MethodName = Literal[
    "matte_only",
    "seg_only",
    "joint",
    "matte_then_seg",
    "mlb",
    "mlb_masklabel",
    "pseudo_label",
    "mean_teacher",
    "oracle",
]
METHOD_NAMES: tuple[str, ...] = MethodName.__args__  # type: ignore[attr-defined]
TEACHER_METHODS = ("mlb", "mlb_masklabel", "matte_then_seg", "pseudo_label", "oracle")
"""Methods whose first stage is the shared teacher, `train.teacher_steps` long."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(pydantic.BaseModel):
    """A closed part of the configuration: unknown keys are errors."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ProceduralConfig(Section):
    """How the embedded data set is drawn; only read where a source is named `procedural/...`."""

    cutouts: PositiveInt = 100
    backgrounds: PositiveInt = 200
    natural: PositiveInt = 1000
    val: PositiveInt = 60
    test: PositiveInt = 100
    seed: NonNegativeInt = 0
    mask_coarseness: NonNegativeFloat = 1.0


class DataConfig(Section):
    """Where samples come from: `procedural/PART`, or a manifest's path (relative ones under `root`).

    `backgrounds` are for cut-outs; without a name they are the rows of kind `background` in the `mattes` manifest.
    """

    root: str | None = None
    mattes: str = "procedural/synthetic"
    backgrounds: str | None = None
    masks: str = "procedural/natural"
    val: str = "procedural/val"
    test: tuple[str, ...] = ("procedural/test",)
    size: PositiveInt = 128
    procedural: ProceduralConfig = ProceduralConfig()

    @pydantic.field_validator("size")
    @classmethod
    def _multiple_of_64(cls, size: int) -> int:
        if size % 64:
            raise ValueError("must be a multiple of 64, so that every backbone's maps fit at half resolution too")
        return size


class ModelConfig(Section):
    """Decoder and heads (`architecture`) over a timm encoder (`backbone`).

    `weights`: `auto` (a hub that answers, else an installed weights package, else none), `none`, `hub`, `package`,
    or the path of a safetensors file in timm's key order.
    """

    architecture: Literal["unet"] = "unet"
    backbone: str = "tf_efficientnet_lite0"
    weights: str = "auto"
    backbone_kwargs: dict[str, Any] = {}


class BlendConfig(Section):
    """How a teacher's prediction and a mask become a label; see `wsshm.blending`.

    `teacher`: a network trained before on composites (`stage`, the paper's), or the student's own moving `average`,
    which learns beside it from composites and blended photos alike and takes no steps of its own.
    `when`: the teacher predicts in the student's training loop, what the student is shown, or `ahead` of it, whole
    pictures once (`wsshm.ahead`).
    """

    variant: Literal["hard", "soft", "gated"] = "gated"
    threshold: Fraction = 0.5
    band: PositiveFloat = 0.04
    feather: NonNegativeFloat = 0.0
    veto: Literal["none", "mask", "ignore"] = "mask"
    teacher: Literal["stage", "average"] = "stage"
    when: Literal["loop", "ahead"] = "loop"
    refresh: PositiveInt = 1

    @pydantic.model_validator(mode="after")
    def _can_be_asked(self) -> BlendConfig:
        if self.teacher == "average" and self.when == "ahead":
            raise ValueError("a teacher that is the student's moving average cannot label ahead of it; take when: loop")
        if self.teacher == "average" and self.refresh > 1:
            raise ValueError("a teacher that is the student's moving average is new at every step; take refresh: 1")
        return self

    def recipe(self) -> dict[str, Any]:
        """It as JSON, a part of a stage's address: `teacher`, which is new since the first release, only where it says so."""
        return self.model_dump(exclude={"teacher"} if self.teacher == "stage" else None)


class MethodConfig(Section):
    """The training method and what only some methods read.

    `matte_share` is the part of a batch that are composites with their mattes, the rest being natural pictures; None is
    the method's own: none of a student's after its teacher, half where both kinds are learnt at once (`joint`,
    `mean_teacher`, a `blend.teacher` that is the student's average).
    `confidence` is `pseudo_label`'s: how sure its teacher must be of a pixel. `consistency_weight` is `mean_teacher`'s
    weight of natural pictures, reached after `consistency_ramp` of its steps.
    """

    name: MethodName = "mlb"
    blend: BlendConfig = BlendConfig()
    matte_share: Fraction | None = None
    blended_weight: PositiveFloat = 1.0
    student_start: Literal["teacher", "backbone"] = "teacher"
    confidence: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    consistency_weight: PositiveFloat = 0.1
    consistency_ramp: Fraction = 0.3


class LossConfig(Section):
    """Weights of the loss terms, the same for every method; see `wsshm.losses`."""

    l1: NonNegativeFloat = 1.0
    boundary_gain: NonNegativeFloat = 4.0
    cross_entropy: NonNegativeFloat = 1.0
    laplacian: NonNegativeFloat = 2.0
    laplacian_levels: PositiveInt = 3
    boundary: NonNegativeFloat = 1.0
    boundary_positive: PositiveFloat = 3.0


class TrainConfig(Section):
    """Optimisation. `batch` is the global batch; `steps` counts every optimiser step of a run, a teacher's too.

    `workers: [1, 4]` is elastic: as many of one to four workers as the cluster has, fewer after a failure, more when
    nodes come. `workers: 0` trains in the calling process.
    """

    steps: PositiveInt = 400
    teacher_steps: PositiveInt = 200
    batch: PositiveInt = 16
    lr: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.01
    warmup: Fraction = 0.1
    clip_grad: PositiveFloat = 5.0
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    accumulate: PositiveInt = 1
    ema: Fraction = 0.0
    half_resolution: Fraction = 0.0
    batchnorm: Literal["sync", "frozen"] = "sync"
    epoch_steps: PositiveInt = 50
    workers: NonNegativeInt | tuple[PositiveInt, PositiveInt] = 1
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: NonNegativeFloat = 0.0
    loader_workers: NonNegativeInt = 0
    max_failures: NonNegativeInt = 1
    seed: NonNegativeInt = 0
    loss: LossConfig = LossConfig()

    @property
    def worker_counts(self) -> range:
        """The numbers of workers that may share a run's batch; training in the calling process counts as one."""
        low, high = self.workers if isinstance(self.workers, tuple) else (self.workers, self.workers)
        return range(max(1, low), max(1, high) + 1)

    @pydantic.model_validator(mode="after")
    def _scalable(self) -> TrainConfig:
        counts = self.worker_counts
        if not counts:
            raise ValueError(f"workers {list(self.workers)} must be [fewest, most]")  # type: ignore[arg-type]
        if len(counts) > 1 and not self.max_failures:
            raise ValueError("elastic workers need max_failures of at least 1: a change of their number is a restart")
        if counts[-1] > 1 and 0 < self.gpus_per_worker < 1:
            raise ValueError(
                f"gpus_per_worker {self.gpus_per_worker:g} is a share of a GPU, and two workers of one run cannot share one"
                " (NCCL); take one worker, or whole GPUs"
            )
        for count in counts:
            if self.batch % (count * self.accumulate):
                raise ValueError(
                    f"batch ({self.batch}) must be a multiple of workers x accumulate ({count} x {self.accumulate}), so that"
                    " every worker sees as many samples"
                )
        return self


# Keys that change where or how fast a run is trained, but not its numbers: left out of every hash.
EXECUTION_KEYS = ("workers", "cpus_per_worker", "gpus_per_worker", "loader_workers", "max_failures")


class Budget(Section):
    """How many labels a run may use. `None` means all there are; smaller budgets are contained in larger ones."""

    mattes: NonNegativeInt | None = None
    masks: NonNegativeInt | None = None


class RunConfig(Section):
    """One run: data, model, method, optimisation and label budget."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    train: TrainConfig = TrainConfig()
    budget: Budget = Budget()

    @property
    def learns_at_once(self) -> bool:
        """Whether it is MLB, or a control of it, without a teacher's stage."""
        return self.method.blend.teacher == "average" and self.method.name in ("mlb", "mlb_masklabel", "oracle")

    @pydantic.model_validator(mode="after")
    def _possible(self) -> RunConfig:
        if self.learns_at_once:
            if self.method.matte_share == 0:
                raise ValueError(
                    "with blend.teacher: average the teacher learns from the composites in the student's batches; raise"
                    " method.matte_share above 0"
                )
        elif self.method.name in TEACHER_METHODS and self.train.teacher_steps >= self.train.steps:
            raise ValueError(
                f"train.teacher_steps ({self.train.teacher_steps}) must be smaller than train.steps ({self.train.steps}),"
                f" of which {self.method.name}'s first stage is a part"
            )
        return self


def parse(document: dict[str, Any], kind: type[Section] = RunConfig, where: str = "the configuration") -> Any:
    """Validate a document as `kind`; every fault is one sentence naming the key and the nearest valid choice."""
    try:
        return kind.model_validate(document)
    except pydantic.ValidationError as error:
        raise UserError(_sentence(error, kind, where)) from None


def load_document(path: Path | str) -> dict[str, Any]:
    """Read a YAML mapping from a file."""
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({str(error.strerror).lower()}); give a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(document, dict):
        raise UserError(f"{path} must hold a mapping of keys to values")
    return document


def override(document: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of `document` with `a.b=v` assignments applied, each v parsed as YAML."""
    result = yaml.safe_load(yaml.safe_dump(document))
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set takes key=value, not {assignment!r}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {assignment!r}: {text!r} is not valid YAML") from None
        set_dotted(result, key, value)
    return result


def set_dotted(document: dict[str, Any], key: str, value: Any) -> None:
    """Set `document["a"]["b"] = value` for the key `a.b`, making the mappings in between."""
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        child = document.setdefault(parent, {})
        if child is None:
            child = document[parent] = {}
        if not isinstance(child, dict):
            raise UserError(f"{key!r} cannot be set: {'.'.join(parents[: depth + 1])!r} is a value, not a section")
        document = child
    document[last] = value


def _sentence(error: pydantic.ValidationError, kind: type[Section], where: str) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"] if not str(part).startswith("<")]  # tags of a union's members
    key = ".".join(location)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        fields = _fields_at(kind, location[:-1])
        return f"{where} has an unknown key {key!r}; {nearest(location[-1], fields)}{more}"
    value = first.get("input")
    if first["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where} has {key} = {value!r}; {nearest(str(value), choices)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not key:
        return f"{where} is impossible: {message}{more}"
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    return f"{where} has an impossible {key}{shown}: {message}{more}"


def _fields_at(kind: type[Section], path: list[str]) -> list[str]:
    section: Any = kind
    for name in path:
        field = section.model_fields.get(name) if hasattr(section, "model_fields") else None
        annotation = field.annotation if field else None
        section = annotation if isinstance(annotation, type) else None
        if section is None:
            return []
    return list(section.model_fields)
