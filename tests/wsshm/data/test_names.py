"""File names made of ids: in the folder they are meant for, distinct on every filesystem, and themselves where they can be."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from wsshm.data.names import file_names

awkward = st.sampled_from(
    ["../x", "a/b", "a:b", "..", ".hidden", "CON", "con.txt", "a.", "A", "a", "\u00e9", "e\u0301", "x" * 300]
)


@given(st.lists(st.one_of(awkward, st.text(min_size=1, max_size=5)), unique=True, max_size=8))
def test_names_are_safe_and_distinct_everywhere(ids):
    names = file_names([name for name in ids if name.isprintable()])
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names.values()}
    assert len(folded) == len(names)
    for name in names.values():
        assert not set(name) & set('/\\:*?"<>|\0')
        assert name[0] != "."
        assert name[-1] not in " ."
        assert name.split(".")[0].upper() not in ("CON", "NUL", "AUX", "PRN", "COM1")
        assert len(f"{name}-00.png".encode()) < 255


def test_a_plain_id_stands_for_itself_and_no_other_gets_its_name():
    assert file_names(["IMG_1.2", "a b (1)", "人物"]) == {name: name for name in ("IMG_1.2", "a b (1)", "人物")}
    odd = file_names(["../x"])["../x"]
    assert odd.startswith("_._x-")
    both = file_names(["../x", odd])
    assert both["../x"] == odd != both[odd]
