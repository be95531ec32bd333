"""Sections to files: index.html, report.md, figures/ and tables/, each file whole or not there."""

from __future__ import annotations

import base64
import io
import json
import os
import uuid
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from reports.document import Attached, Block, Listing, Picture, Section, Table
from reports.figures import style
from wsshm import __version__
from wsshm.errors import UserError

CONTENTS = "contents.json"  # the files of the last build, so that the next may remove what it no longer makes


def report(sections: list[Section], subtitle: str, out: Path) -> Path:
    """Write all files of a report into `out`, index.html last; returns its path."""
    files: dict[str, bytes] = {}
    drawings: dict[str, Markup] = {}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Picture):
                drawings[block.name] = _add_figure(block, files)
            else:
                _add_table(block, files)
    environment = _environment()
    about = {
        "sections": [section for section in sections if section.filled],
        "left_out": [
            (section.title, *section.missing.partition("; ")[::2]) for section in sections if not section.filled
        ],
        "subtitle": subtitle,
        "version": __version__,
    }
    files["report.md"] = environment.get_template("report.md.j2").render(**about).encode()
    files[CONTENTS] = json.dumps(sorted([*files, CONTENTS, "index.html"]), indent=1).encode()
    files["index.html"] = environment.get_template("index.html.j2").render(**about, drawings=drawings).encode()
    _replace(out, files)
    return out / "index.html"


def markdown_table(table: Table) -> str:
    """A table in Markdown: an interval follows its mean in brackets."""
    group = {id(column): f"{column.group}: " if column.group else "" for column in table.columns}
    lines = [
        "| " + " | ".join(_escaped(group[id(column)] + column.title) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.numeric else ":---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        texts = []
        for cell in row:
            text = _escaped(cell.text)
            text = f"**{text}**" if cell.tone == "best" else text
            texts.append(f"{text} ({_escaped(cell.note)})" if cell.note else text)
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=lambda name: name is None or ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["escaped"] = _escaped
    environment.filters["markdown_table"] = markdown_table
    environment.tests["picture"] = lambda block: isinstance(block, Picture)
    environment.tests["listing"] = lambda block: isinstance(block, Listing)
    environment.tests["attached"] = lambda block: isinstance(block, Attached)
    return environment


def _add_figure(picture: Picture, files: dict[str, bytes]) -> Markup:
    """Add the figure's files; returns what stands in the page."""
    stem = f"figures/{picture.name}"
    files[f"{stem}.png"], drawing, files[f"{stem}.pdf"] = style.png_svg_pdf(picture.figure)
    files[f"{stem}.svg"] = drawing.encode()
    files[f"{stem}.parquet"] = _parquet(picture.frame)
    if picture.photographic:
        encoded = base64.b64encode(files[f"{stem}.png"]).decode()
        return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(Markup(encoded), picture.caption)
    return Markup(style.inline(drawing, picture.name))


def _add_table(table: Block, files: dict[str, bytes]) -> None:
    stem = f"tables/{table.name}"
    if isinstance(table, Listing):
        files[stem] = table.text.encode()
        return
    files[f"{stem}.parquet"] = _parquet(table.frame)
    files[f"{stem}.csv"] = table.frame.to_csv(index=False, lineterminator="\n").encode()
    if isinstance(table, Table):
        files[f"{stem}.md"] = (markdown_table(table) + f"\n\n{_escaped(table.caption)}\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def _replace(out: Path, files: dict[str, bytes]) -> None:
    """Put `files` into `out` by renames, then remove what an earlier report left that this one has not."""
    try:
        for folder in {(out / name).parent for name in files}:
            folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"the report cannot go to {out}: there is a file of that name; give another folder") from None
    except PermissionError:
        raise UserError(f"the report cannot go to {out}: no permission to write there; give another folder") from None
    earlier = _earlier(out)
    waiting: list[tuple[Path, Path]] = []
    try:
        for name, content in files.items():
            final = out / name
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
            waiting.append((temporary, final))
            temporary.write_bytes(content)
        for temporary, final in waiting:
            os.replace(temporary, final)
    finally:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
    for name in earlier - set(files):
        (out / name).unlink(missing_ok=True)


def _earlier(out: Path) -> set[str]:
    """Files of the report that is there, as its contents.json lists them; names that lead elsewhere are passed over."""
    try:
        listed = json.loads((out / CONTENTS).read_text())
    except (OSError, json.JSONDecodeError):
        return set()
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return {
        name for name in names if (out / name).parent in (out, out / "figures", out / "tables") and ".." not in name
    }


def _escaped(text: object) -> str:
    """Text that Markdown shows as it is: no table breaks, no HTML, no emphasis."""
    escaped = str(text).replace("\\", "\\\\")
    for character in "|*_`[]#":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("\r", " ").replace("\n", " ")
