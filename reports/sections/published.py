"""Figures that others published: tables from reports/published.yaml, never on one axis with what we measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pydantic
import yaml

from reports.document import Cell, Column, Section, Table
from wsshm.errors import UserError

FILE = Path(__file__).parents[1] / "published.yaml"


class Row(pydantic.BaseModel):
    """What every row has; values are text, as published."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, str_min_length=1)

    method: str
    source: str
    note: str | None = None


class Speed(Row):
    """A published frame rate and under what it was taken, as far as that was stated."""

    size: str
    device: str
    type: str
    fps: str
    counted: str


class Accuracy(Row):
    """A published error, in the unit of its paper (SAD in thousands of pixels)."""

    dataset: str
    measure: str
    value: str


class Published(pydantic.BaseModel):
    """The whole file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    speed: list[Speed] = []
    accuracy: list[Accuracy] = []


def read(path: Path = FILE) -> Published:
    """The file, checked. Raises UserError naming the first row and key that are wrong."""
    try:
        document = yaml.safe_load(path.read_text())
        return Published.model_validate(document or {})
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; reinstall wsshm-bench, which brings it") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({' '.join(str(error).split())})") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        table, *place = first["loc"] or ("the file",)
        where = (
            f"{table}, row {place[0] + 1}: {'.'.join(map(str, place[1:]))}"
            if place and isinstance(place[0], int)
            else table
        )
        raise UserError(f"{path} is wrong at {where} ({first['msg'].lower()}); correct that row") from None


def section(path: Path = FILE) -> Section:
    """Both tables, with the warning that belongs to them."""
    published = read(path)
    result = Section(
        "published", "Published figures", missing=f"{path.name} lists none; add rows to reports/{path.name}"
    )
    if published.speed or published.accuracy:
        result.text = [
            "Taken from papers, READMEs and issues as they state them; nothing here was measured by this suite, and "
            "nothing here is comparable with what was. Sources differ in device, input size, number type and what they "
            "counted, often without saying so; errors of one model on one data set differ by 10 % between papers with "
            "the test protocol."
        ]
    speed = [("method", ""), ("size", "px"), ("device", ""), ("type", ""), ("fps", "as published"), ("counted", "")]
    accuracy = [("method", ""), ("dataset", ""), ("measure", ""), ("value", "as published")]
    if published.speed:
        result.blocks.append(_table("published-speed", "Published frame rates.", speed, published.speed))
    if published.accuracy:
        caption = "Published errors: SAD in thousands of pixels, as each source computes them."
        result.blocks.append(_table("published-accuracy", caption, accuracy, published.accuracy))
    return result


def _table(name: str, caption: str, shown: list[tuple[str, str]], rows: list[Speed] | list[Accuracy]) -> Table:
    frame = pd.DataFrame([row.model_dump() for row in rows])
    headers = {"fps": "FPS", "dataset": "data set"}
    columns = [Column(headers.get(key, key), False, unit=unit) for key, unit in shown] + [Column("source", False)]
    cells = [[*(Cell(str(getattr(row, key))) for key, _ in shown), Cell(row.source, row.note or "")] for row in rows]
    return Table(name, caption, columns, cells, frame)
