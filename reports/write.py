"""Sections to files: index.html, report.md, figures/ and tables/, each file whole or not there."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.document import Listing, Picture, Section, Table
from reports.figures import hover, style
from wsshm import __version__
from wsshm.errors import UserError
from wsshm.files.tables import csv_text
from wsshm.files.tables import markdown_cell as escaped
from wsshm.files.whole import whole_file

CODE = re.compile("(`wsshm [^`\n]*`)")  # a printed command within a sentence
LAST = re.compile("(?<=: )(wsshm [^`\n]*)$")  # one that ends it
CONTENTS = "contents.json"  # the files of the last build, so that the next may remove what it no longer makes


def report(sections: list[Section], subtitle: str, out: Path) -> Path:
    """Write all files of a report into `out`, index.html last; returns its path."""
    files: dict[str, bytes] = {}
    drawings: dict[str, Markup] = {}
    for section in sections:
        drawings |= {picture.name: _add_figure(picture, files) for picture in section.pictures}
        for block in section.blocks:
            if not isinstance(block, Picture):
                _add_table(block, files)
    environment = _environment()
    about = {
        "sections": [section for section in sections if section.filled],
        "titles": {section.key: _short(section.title) for section in sections if section.filled},
        "left_out": [
            (section.title, _ended(section.missing)) for section in sections if section.missing and not section.filled
        ],
        "subtitle": subtitle,
        "version": __version__,
    }
    files["report.md"] = environment.get_template("report.md.j2").render(**about).encode()
    files[CONTENTS] = json.dumps(sorted([*files, CONTENTS, "index.html"]), indent=1).encode()
    files["index.html"] = environment.get_template("index.html.j2").render(**about, drawings=drawings).encode()
    left = _earlier(out) - set(files)
    put(out, files, "the report")
    for name in left:
        (out / name).unlink(missing_ok=True)
    return out / "index.html"


def check_outside(out: Path, store: str | Path) -> None:
    """Raise UserError if the folder `out` is the store, or lies in it."""
    if "://" in str(store):
        return
    inside, root = out.resolve(), Path(store).resolve()
    if inside.is_relative_to(root):
        raise UserError(f"--out {out} is {'' if inside == root else 'in '}the store; give a folder outside of it")


def markdown_table(table: Table) -> str:
    """A table in Markdown: an interval follows its mean in brackets."""
    group = {id(column): f"{column.group}: " if column.group else "" for column in table.columns}
    lines = [
        "| " + " | ".join(escaped(group[id(column)] + column.title) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.numeric else ":---" for column in table.columns) + "|",
    ]
    for row in table.rows:
        texts = []
        for cell in row:
            text = escaped(cell.text)
            text = f"**{text}**" if cell.tone == "best" else text
            texts.append(f"{text} ({escaped(cell.note)})" if cell.note else text)
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def prose(text: str) -> Markup:
    """Sentences in HTML, with the commands that they print as code."""
    parts = CODE.split(LAST.sub(r"`\1`", text))  # every second one is a command between its backquotes
    return Markup("").join(
        Markup("<code>{}</code>").format(part[1:-1]) if place % 2 else part for place, part in enumerate(parts)
    )


def prose_markdown(text: str) -> str:
    """The same in Markdown."""
    parts = CODE.split(LAST.sub(r"`\1`", text))
    return "".join(part if place % 2 else escaped(part) for place, part in enumerate(parts))


def _short(title: str) -> str:
    """A section's title as links have it."""
    return title.partition(":")[0]


def _ended(text: str) -> str:
    """With a full stop, unless a command ends it."""
    return text if LAST.search(text) else f"{text}."


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=lambda name: name is None or ".html" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["escaped"] = escaped
    environment.filters["prose"] = prose
    environment.filters["prose_markdown"] = prose_markdown
    environment.filters["markdown_table"] = markdown_table
    environment.tests["picture"] = lambda block: isinstance(block, Picture)
    environment.tests["listing"] = lambda block: isinstance(block, Listing)
    environment.tests["attached"] = lambda block: isinstance(block, Table) and block.attached
    return environment


def _add_figure(picture: Picture, files: dict[str, bytes]) -> Markup:
    """Add the figure's files; returns what stands in the page."""
    stem = f"figures/{picture.name}"
    drawn = style.png_svg_pdf(picture.figure)
    files |= {f"{stem}{ending}": content for ending, content in drawn.items()}
    files[f"{stem}.parquet"] = picture.frame.to_parquet(index=False)
    if picture.photographic:
        encoded = base64.b64encode(drawn[".png"]).decode()
        return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(Markup(encoded), picture.caption)
    return Markup(style.inline(drawn[".svg"].decode(), picture.name, hover.overlay(picture.figure)))


def _add_table(table: Table | Listing, files: dict[str, bytes]) -> None:
    stem = f"tables/{table.name}"
    if isinstance(table, Listing):
        files[stem] = table.text.encode()
        return
    files[f"{stem}.parquet"] = table.frame.to_parquet(index=False)
    files[f"{stem}.csv"] = csv_text(table.frame).encode()
    if not table.attached:
        files[f"{stem}.md"] = (markdown_table(table) + f"\n\n{escaped(table.caption)}\n").encode()


def put(out: Path, files: dict[str, bytes], what: str) -> None:
    """Put all of `files` into `out`, or none of them. Raises UserError, which says `what`, where that cannot be."""
    try:
        for folder in {(out / name).parent for name in files}:
            folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{what} cannot go to {out}: there is a file of that name; give another folder") from None
    except PermissionError:
        raise UserError(f"{what} cannot go to {out}: no permission to write there; give another folder") from None
    with contextlib.ExitStack() as written:  # all of them, then they are put in place, the last to enter first
        for name in reversed(files):
            written.enter_context(whole_file(out / name)).write_bytes(files[name])


def _earlier(out: Path) -> set[str]:
    """Files of the report that is there, as its contents.json lists them; names that lead elsewhere are passed over."""
    try:
        listed = json.loads((out / CONTENTS).read_text())
    except (OSError, ValueError, RecursionError):  # not a list of ours: remove nothing
        return set()
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return {
        name for name in names if (out / name).parent in (out, out / "figures", out / "tables") and ".." not in name
    }
