"""A job server that answers as a Ray head's dashboard does, for tests of the client: no Ray runs behind it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class FakeCluster:
    """What the server knows, and what it is to do next; tests change it while it runs."""

    token: str | None = None
    nodes: list[dict[str, Any]] = field(default_factory=lambda: [_node("10.0.0.1"), _node("10.0.0.2")])
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=lambda: ["one\n", "two\n", "three\n"])
    drop_after: list[int] = field(default_factory=list)
    """For each attachment in turn: after how many lines its connection is cut."""
    hang: bool = False
    """Whether the log goes on for ever, as that of a running job."""
    attachments: int = 0
    ends: dict[str, Any] = field(default_factory=lambda: {"status": "SUCCEEDED", "driver_exit_code": 0})
    address: str = ""

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._authenticate], client_max_size=1 << 30)
        application.add_routes(
            [
                web.get("/api/version", self._version),
                web.get("/api/jobs/", self._list),
                web.post("/api/jobs/", self._submit),
                web.get("/api/jobs/{id}", self._info),
                web.get("/api/jobs/{id}/logs", self._logs),
                web.get("/api/jobs/{id}/logs/tail", self._tail),
                web.get("/api/packages/{protocol}/{name}", self._has),
                web.put("/api/packages/{protocol}/{name}", self._upload),
                web.get("/api/v0/nodes", self._nodes),
            ]
        )
        return application

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if self.token and not given:
            return web.Response(status=401, text="Unauthorized: Missing authentication token")
        if self.token and given != f"Bearer {self.token}":
            return web.Response(status=403, text="Forbidden: Invalid authentication token")
        return await handler(request)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.jobs.values()))

    async def _submit(self, request: web.Request) -> web.Response:
        job = await request.json()
        job_id = job["submission_id"]
        if job_id in self.jobs:
            text = f"ValueError: Job with submission_id {job_id} already exists. Please use a different submission_id."
            return web.Response(status=500, text=text)
        self.jobs[job_id] = {"type": "SUBMISSION", "status": "RUNNING", **job}
        return web.json_response({"job_id": job_id, "submission_id": job_id})

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(self.jobs[request.match_info["id"]])

    async def _logs(self, _: web.Request) -> web.Response:
        return web.json_response({"logs": "".join(self.log)})

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        cut = self.drop_after[self.attachments] if self.attachments < len(self.drop_after) else None
        self.attachments += 1
        for number, line in enumerate(self.log):
            if number == cut:
                request.transport.abort()  # type: ignore[union-attr]
                return socket
            await socket.send_str(line)
        while self.hang:
            await asyncio.sleep(0.05)
        self.jobs[request.match_info["id"]] |= self.ends
        return socket

    async def _has(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.match_info["name"] in self.packages else 404)

    async def _upload(self, request: web.Request) -> web.Response:
        self.packages[request.match_info["name"]] = await request.read()
        return web.Response()

    async def _nodes(self, _: web.Request) -> web.Response:
        listing = {"result": self.nodes, "total": len(self.nodes), "num_after_truncation": len(self.nodes)}
        listing |= {"num_filtered": len(self.nodes), "partial_failure_warning": "", "warnings": None}
        return web.json_response({"result": True, "msg": "", "data": {"result": listing}})


@contextmanager
def running(cluster: FakeCluster) -> Iterator[FakeCluster]:
    """Serve on a free port of this machine until the block ends."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(cluster.application(), shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        cluster.address = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        cluster.hang = False
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _node(ip: str) -> dict[str, Any]:
    node = {"node_id": json.dumps(ip), "node_ip": ip, "is_head_node": True, "state": "ALIVE", "state_message": ""}
    return node | {"node_name": ip, "resources_total": {}, "labels": {}}
