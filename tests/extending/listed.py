"""A layout of a user's own: a table of photos and their masks, wherever these lie. Nothing imports it."""

import csv

from wsshm.data.layouts import Layout, register
from wsshm.data.manifest import Sample

TABLE = "list.csv"


def read(root, split, domain):
    with (root / TABLE).open(newline="") as table:
        return [
            Sample(id=row["photo"], split=split, domain=domain, kind="photo", image=row["photo"], mask=row["mask"])
            for row in csv.DictReader(table)
        ]


register(
    Layout(
        "listed",
        "photos with masks",
        f"{TABLE} with the columns photo and mask: paths below ROOT\nROOT/{TABLE}\nROOT/...",
        read,
        fits=lambda root: (root / TABLE).is_file(),
        terms="from our own archive; not for publication",
    )
)
