"""Clusters that grow: what is asked of Ray's autoscaler, and what it may still bring."""

from __future__ import annotations

import json
import logging
import math
import time
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.state import state
from ray.autoscaler.sdk import request_resources
from ray.experimental.internal_kv import _internal_kv_get

log = logging.getLogger(__name__)

NOTICE_S = 20.0
"""How long an autoscaler may take to begin what it is asked for; a cluster without one is that much later refused."""
BOOT_S = 900.0
"""How long the first node with room for a run may take to come."""
LOOK_EVERY_S = 2.0
UNBOUNDED = 64
"""How many nodes a group without a limit is taken to have."""

Resources = dict[str, float]


def up() -> list[Resources]:
    """What each living node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def may_come() -> list[Resources]:
    """What nodes may still be added, where the autoscaler has told Ray of its node types; empty where it has not."""
    told = state.get_cluster_config()
    groups = told.node_group_configs if told else []
    alive = [node for node in ray.nodes() if node["Alive"]]
    head = [node["Resources"] for node in alive if "node:__internal_head__" in node["Resources"]]
    coming: list[Resources] = []
    for group in groups:
        has = {name: float(amount) for name, amount in group.resources.items()}
        if not has or not group.max_count or (group.max_count == 1 and any(_alike(node, has) for node in head)):
            continue
        there = sum(_alike(node["Resources"], has) for node in alive if node["Resources"] not in head)
        most = UNBOUNDED if group.max_count < 0 else group.max_count
        coming += [has] * max(0, most - there)
    return coming


def ask_for(bundles: list[Resources]) -> None:
    """Ask the autoscaler to keep room for all of these at once; no requests withdraw the previous ones."""
    request_resources(bundles=bundles)


def grows() -> bool:
    """Whether nodes come after `ask_for`: waits up to `NOTICE_S` for the autoscaler to launch one."""
    before, deadline = len(up()), time.monotonic() + NOTICE_S
    while time.monotonic() < deadline:
        if len(up()) > before or launching():
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def launching() -> bool:
    """Whether the autoscaler, of Ray's first or second kind, is bringing nodes."""
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    try:
        if is_autoscaler_v2():
            status = get_cluster_status(ray.get_runtime_context().gcs_address)
            return bool(status.pending_nodes or status.pending_launches)
        told = _internal_kv_get(ray_constants.DEBUG_AUTOSCALING_STATUS)
        report = (json.loads(told).get("autoscaler_report") if told else None) or {}
        return bool(report.get("pending_nodes") or report.get("pending_launches"))
    except Exception as error:  # Ray's own format, which no contract holds; without it the nodes that come tell as much
        log.debug("the autoscaler's state is not known: %s", error)
        return False


def wait_for_room(fits: Any) -> bool:
    """Wait until living nodes are enough for `fits`, as long as nodes are coming and at most `BOOT_S`."""
    deadline = time.monotonic() + BOOT_S
    while not fits(up()):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _alike(node: Resources, has: Resources) -> bool:
    return all(math.isclose(node.get(name, 0.0), has.get(name, 0.0)) for name in ("CPU", "GPU"))
