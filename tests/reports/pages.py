"""A report's page taken apart: tags, ids, text, and tables as people see them."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags, ids and text of a page; void elements aside, every tag must be closed in order.

    `tables` are the rows of each table's body by its figure's id, a cell as its main text and its smaller lines.
    """

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.text = ""
        self.script = ""
        self.headers: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[list[str]]]] = {}
        self._figure = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag == "figure":
            self._figure = dict(attributes).get("id") or ""
        rows = self.tables.setdefault(self._figure, []) if self._figure.startswith("table-") else None
        if rows is not None and tag == "tr":
            rows.append([])
        if rows is not None and tag in ("td", "th"):
            rows[-1].append([""])
        if rows is not None and tag == "small":
            rows[-1][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "figure":
            self._figure = ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.script += data
        elif self.open and self.open[-1] != "style":
            self.text += data
        if {"td", "th"} & set(self.open) and self._figure:
            self.tables[self._figure][-1][-1][-1] += data.strip()

    def table(self, name: str) -> tuple[list[str], list[list[list[str]]]]:
        """The last row of headings of the table NAME, and its rows: every cell as [text, smaller lines ...]."""
        rows = self.tables[f"table-{name}"]
        first = next(index for index, row in enumerate(rows) if len(row) == len(rows[-1]))
        return [cell[0] for cell in rows[first]], rows[first + 1 :]
