"""Figures that others published: tables from reports/published.yaml, never on one axis with what we measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pydantic
import yaml

from reports.document import Cell, Column, Section, Table, listed, texts
from reports.sections import PageSection, register
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
        where, *place = first["loc"] or ("the file",)
        if place and isinstance(place[0], int):
            where = f"{where}, row {place[0] + 1}: {'.'.join(map(str, place[1:]))}"
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
            "counted, often without saying so."
        ]
        if said := spread(published):
            result.text.append(said)
    headed = {"fps": "FPS", "dataset": "data set"}
    units = {"size": "px", "fps": "as published", "value": "as published"}
    for name, caption, rows in (
        ("speed", "Published frame rates.", published.speed),
        ("accuracy", "Published errors: SAD in thousands of pixels, as each source computes them.", published.accuracy),
    ):
        if rows:
            own = [key for key in type(rows[0]).model_fields if key not in Row.model_fields]
            columns = [texts(headed.get(key, key), key, units.get(key, "")) for key in ("method", *own)]
            columns.append(Column("source", lambda row: Cell(row["source"], row["note"] or "")))
            records = [row.model_dump() for row in rows]
            result.blocks.append(Table(f"published-{name}", caption, columns, pd.DataFrame(records), records))
    return result


def spread(published: Published) -> str:
    """Where sources give one model other figures under the same conditions, in a sentence; nothing where they all agree."""
    values: dict[str, list[str]] = {}
    for said, value in (
        *((f"{row.method} on {row.dataset} has {row.measure}", row.value) for row in published.accuracy),
        *((f"{row.method} at {row.size} px on {row.device} has FPS", row.fps) for row in published.speed),
    ):
        found = values.setdefault(said, [])
        if value not in found:
            found.append(value)
    differ = [f"{said} {' or '.join(found)}" for said, found in values.items() if len(found) > 1]
    return f"The protocol is a part of a result: by source, {listed(differ)}." if differ else ""


register(PageSection("published", 130, lambda given: section()))
