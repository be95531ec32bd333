"""The largest 4-connected component of a thresholded image, by runs of set bits.

A row is packed into 64-bit words. Its runs, and the places where a run touches one of the row above, are found a word
at a time; runs that touch are united in a forest (Rem's algorithm), whose trees are the components. Runs are numbered
in reading order, and their edges are read off the words again where they are needed: noise has a run every four pixels,
and memory is what it waits for.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from wsshm.metrics.kernels.compiled import compiled

WORD = 64
_ONE, _SEVEN, _LAST = np.uint64(1), np.uint64(7), np.uint64(WORD - 1)
_BYTES, _TOP_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_GATHER, _GATHERED = np.uint64(0x0102040810204080), np.uint64(56)


def padded_width(width: int) -> int:
    """Columns of an array of levels for an image of `width` columns: whole words, the last column always free."""
    return (width // WORD + 1) * WORD


class Components:
    """The components of one image at one threshold after the other; the memory is used again."""

    def __init__(self, levels: NDArray[np.uint8]) -> None:
        """`levels`: H x padded_width, values up to 127, 0 in the padding."""
        height, width = levels.shape
        self._levels = levels.view(np.uint64)
        self._words = np.empty((height, width // WORD), np.uint64)
        self._firsts = np.empty(height + 1, np.int64)  # runs above each row
        self._parents = np.empty(height * width // 2, np.uint32)  # touched only as far as there are runs
        self._sizes = np.empty(height * width // 2, np.uint32)
        self._largest = -1

    def find(self, least: int) -> None:
        """Find the largest component of `levels >= least`.

        Of equally large components the one counts whose first pixel in reading order comes first.
        """
        _unite_runs(self._levels, least, self._words, self._firsts, self._parents)
        self._largest = _largest(self._words, self._firsts, self._parents, self._sizes)

    def mark(self, image: NDArray[np.uint8], value: int) -> bool:
        """Set the pixels of the largest component in `image` (shaped as the levels) to `value`, if they are `value - 1`.

        They have one value: a component lies in one component of the threshold below. False where nothing was set.
        """
        return self._largest >= 0 and _mark(self._words, self._firsts, self._parents, self._largest, image, value)


@intrinsic
def _lowest_bit(typing_context, word):
    """Position of the lowest set bit of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


@intrinsic
def _set_bits(typing_context, word):
    """Number of set bits of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@compiled
def _unite_runs(eights, least, words, firsts, parents):
    """Pack `levels >= least` (eight levels a word) into `words`, and unite the runs that touch."""
    lift = np.uint64(128 - least) * _BYTES  # raises a level of `least` or more to its byte's top bit
    count = np.uint64(0)
    for y in range(words.shape[0]):
        firsts[y] = count
        before = np.uint64(0)
        for k in range(words.shape[1]):
            word = np.uint64(0)
            for b in range(8):
                reached = ((eights[y, 8 * k + b] + lift) & _TOP_BITS) >> _SEVEN
                word |= ((reached * _GATHER) >> _GATHERED) << np.uint64(8 * b)
            words[y, k] = word
            starts = _set_bits(word & ~((word << _ONE) | before))
            before = word >> _LAST
            for run in range(count, count + starts):
                parents[run] = run
            count += starts
        if y > 0:
            _unite_rows(words[y - 1], words[y], np.uint64(firsts[y - 1]), np.uint64(firsts[y]), parents)
    firsts[words.shape[0]] = count


@compiled
def _unite_rows(above, here, first_above, first_here, parents):
    """Unite the runs of two rows that touch; `first_*`: number of the first run of each row."""
    before_a = before_h = before_both = np.uint64(0)
    for k in range(here.size):
        a, h = above[k], here[k]
        both = a & h
        starts_a, starts_h = a & ~((a << _ONE) | before_a), h & ~((h << _ONE) | before_h)
        touching = both & ~((both << _ONE) | before_both)  # the first pixel of each stretch that two runs share
        before_a, before_h, before_both = a >> _LAST, h >> _LAST, both >> _LAST
        while touching:
            up_to_here = touching ^ (touching - _ONE)
            _unite(
                parents,
                first_above + _set_bits(starts_a & up_to_here) - _ONE,
                first_here + _set_bits(starts_h & up_to_here) - _ONE,
            )
            touching &= touching - _ONE
        first_above += _set_bits(starts_a)
        first_here += _set_bits(starts_h)


@compiled
def _unite(parents, a, b):
    """Join two trees, the later root under the earlier one, shortening the paths on the way (Rem's algorithm)."""
    up_a, up_b = parents[a], parents[b]
    while up_a != up_b:
        if up_a > up_b:
            parents[a] = up_b
            if up_a == a:
                return
            a = np.uint64(up_a)
            up_a = parents[a]
        else:
            parents[b] = up_a
            if up_b == b:
                return
            b = np.uint64(up_b)
            up_b = parents[b]


@compiled
def _largest(words, firsts, parents, sizes):
    """The first run of the largest component, -1 if there is none; all parents become roots."""
    count = firsts[-1]
    sizes[:count] = 0
    for y in range(words.shape[0]):
        edge = 2 * firsts[y]  # runs start at even edges
        start = before = np.uint64(0)
        for k in range(words.shape[1]):
            word = words[y, k]
            changes = word ^ ((word << _ONE) | before)
            before = word >> _LAST
            while changes:
                column = np.uint64(WORD * k) + _lowest_bit(changes)
                changes &= changes - _ONE
                if edge & 1:
                    # Parents precede their children, so one pass in order leads every run to its root.
                    run = np.uint64(edge >> 1)
                    root = parents[parents[run]]
                    parents[run] = root
                    sizes[root] += column - start
                start = column
                edge += 1
    largest, size = -1, np.uint32(0)
    for run in range(count):
        if sizes[run] > size:
            largest, size = run, sizes[run]
    return largest


@compiled
def _mark(words, firsts, parents, largest, image, value):
    marked = False
    for y in range(np.searchsorted(firsts, largest, "right") - 1, words.shape[0]):
        edge = 2 * firsts[y]
        start, before = 0, np.uint64(0)
        for k in range(words.shape[1]):
            word = words[y, k]
            changes = word ^ ((word << _ONE) | before)
            before = word >> _LAST
            while changes:
                column = WORD * k + np.int64(_lowest_bit(changes))
                changes &= changes - _ONE
                if edge & 1 and parents[edge >> 1] == largest:
                    if not marked and image[y, start] != value - 1:
                        return False
                    marked = True
                    image[y, start:column] = value
                start = column
                edge += 1
    return marked
