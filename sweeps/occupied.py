"""One sweep at a time in a folder, whatever machines it is started on."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from sweeps.place import Place
from wsshm.errors import UserError
from wsshm.files.claims import STALE_S, Claim

LOOK_EVERY_S = 2.0
log = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(place: Place) -> Iterator[None]:
    """Refuse a second sweep in the same folder at the same time.

    A killed sweep's claim is taken over: at once on its own machine, elsewhere after a minute without a sign of life.
    """
    claim = Claim(place.claim)
    began, first = time.monotonic(), None
    while not claim.try_take():
        owner = claim.owner() or {}
        beats = first is not None and claim.seen != first
        if beats or claim.on_this_machine() or time.monotonic() - began > STALE_S + LOOK_EVERY_S:
            raise UserError(
                f"another sweep is running in {place.out} (process {owner.get('pid')} on {owner.get('host')}); wait for it,"
                " or give another folder by --out"
            )
        if first is None:
            log.info("%s may hold %s; waiting up to a minute for a sign of life", owner.get("host"), place.out)
            first = claim.seen
        time.sleep(LOOK_EVERY_S)
    with claim.held():
        yield
