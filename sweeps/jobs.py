"""Talking to a cluster's job server: connecting with a token, following a log through dropped lines, how a job ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.errors import UserError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

PROBE_S = 10.0
SILENCE_S = 60.0
"""Reattach to the log after this long without a line: a connection that died says nothing."""
NODES_S = 30.0
"""A head that has just come up knows of no node for a while, not even itself."""
PATIENCE_S = 600.0
"""How long to retry an unreachable cluster before giving up following."""

log = logging.getLogger(__name__)


class IdTaken(UserError):
    """A job's id was used before."""


@dataclass(frozen=True)
class Cluster:
    """A cluster's job server: its dashboard's `address` and Ray's client for it."""

    address: str
    client: JobSubmissionClient
    headers: dict[str, str]

    @classmethod
    def connect(cls, address: str) -> Cluster:
        """Connect to a dashboard such as `http://HEAD:8265`.

        The token is taken where Ray looks for it: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, `~/.ray/auth_token`;
        none is sent with RAY_AUTH_MODE=disabled. RAY_JOB_HEADERS (JSON) adds headers, as with `ray job`. UserError
        for an address where no dashboard answers, and for a missing or rejected token.
        """
        import requests
        from ray.job_submission import JobSubmissionClient

        for name in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
            logging.getLogger(name).setLevel(logging.WARNING)  # says "Uploading package gcs://..." by itself
        address = _http(address)
        token, source = _token()
        headers = _extra_headers() | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            answer = requests.get(f"{address}/api/version", timeout=PROBE_S, headers=headers)
        except requests.RequestException as error:
            raise UserError(
                f"no cluster answers at {address} ({_cause(error)}); give the dashboard's address, such as"
                " http://HEAD:8265"
            ) from None
        if answer.status_code not in (401, 403) and '"ray_version"' not in answer.text:
            raise UserError(
                f"{address} answers, but not as a Ray dashboard; give its address, such as http://HEAD:8265"
            )
        with _refused(address, source), _address_as_given():
            client = JobSubmissionClient(address, headers=dict(headers))
            client.list_jobs()
        return cls(address, client, headers)

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive, as Ray's state API describes them."""
        from ray.util.state import StateApiClient
        from ray.util.state.common import ListApiOptions, StateResource

        with _address_as_given():
            client = StateApiClient(self.address, headers=dict(self.headers))
        options = ListApiOptions(limit=10_000, filters=[("state", "=", "ALIVE")])
        deadline = time.monotonic() + NODES_S
        while True:
            nodes = client.list(StateResource.NODES, options, raise_on_missing_output=False)
            if nodes or time.monotonic() > deadline:
                return nodes  # type: ignore[return-value]
            time.sleep(0.5)

    def is_this_machine(self) -> bool:
        """Whether the cluster is one node, and that is this machine: then a path means the same there as here."""
        from ray.util import get_node_ip_address

        nodes = self.nodes()
        own = {"127.0.0.1", "::1", get_node_ip_address()}
        return len(nodes) == 1 and _field(nodes[0], "node_ip") in own

    def jobs(self) -> list[JobDetails]:
        """All submitted jobs that the cluster remembers."""
        return [job for job in self.client.list_jobs() if job.submission_id]

    def free_id(self, name: str) -> str:
        """NAME-1, or with the number after the highest that was used: an id is good for one job."""
        stem = re.sub(r"[^\w.-]+", "-", name)
        used = [re.fullmatch(re.escape(stem) + r"-(\d+)", str(job.submission_id)) for job in self.jobs()]
        return f"{stem}-{max((int(found[1]) for found in used if found), default=0) + 1}"

    def submit(self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]) -> None:
        """Start a job. IdTaken where its id is, UserError where Ray refuses the environment."""
        try:
            self.client.submit_job(
                entrypoint=entrypoint, submission_id=job_id, runtime_env=runtime_env, metadata=metadata
            )
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            if "already exists" in str(error):
                raise IdTaken(
                    f"the cluster has had a job {job_id!r} already; give another --submission-id, or leave it out"
                ) from None
            raise UserError(f"the cluster refused the job: {_last_line(error)}") from error

    def dashboard(self, job_id: str) -> str:
        """The job's page."""
        return f"{self.address}/#/jobs/{job_id}"

    def command(self, verb: str, job_id: str) -> str:
        """The line that does `ray job VERB` with a job."""
        return f"RAY_AUTH_MODE=token ray job {verb} --address {self.address} {job_id}"

    def follow(self, job_id: str, write: Callable[[str], None]) -> JobDetails:
        """Pass the job's log on as it grows, each character once, until the job ends; returns how.

        A dropped connection is taken up again. UserError where the cluster stays away.
        """
        import aiohttp
        import requests

        seen, lost_since = 0, None
        while True:
            try:
                seen = asyncio.run(self._tail(job_id, seen, write))
            except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
                seen = getattr(error, "seen", seen)
            try:
                info = self.client.get_job_info(job_id)
                if info.status.is_terminal():
                    with suppress(requests.RequestException, RuntimeError):  # its node may be gone, and the log with it
                        write(self.client.get_job_logs(job_id)[seen:])
                    return info
                lost_since = None
            except (requests.RequestException, RuntimeError, OSError) as error:
                now = time.monotonic()
                if lost_since is None:
                    lost_since = now
                    log.warning("the connection to %s is lost (%s); trying again", self.address, _cause(error))
                if now - lost_since > PATIENCE_S:
                    raise UserError(
                        f"{self.address} has not answered for {PATIENCE_S / 60:.0f} minutes; if the cluster lives, the"
                        f" job goes on: {self.command('logs --follow', job_id)}"
                    ) from None
            time.sleep(1.0)

    async def _tail(self, job_id: str, seen: int, write: Callable[[str], None]) -> int:
        """Write what comes after `seen` characters; returns how many were seen when the log ended or broke off."""
        position = 0  # the server begins with the first line each time
        stream = self.client.tail_job_logs(job_id)
        try:
            while True:
                lines = await asyncio.wait_for(anext(stream), SILENCE_S)
                position += len(lines)
                if position > seen:
                    write(lines[seen - position :])
                    seen = position
        except StopAsyncIteration:
            return seen
        except Exception as error:
            error.seen = seen  # type: ignore[attr-defined]
            raise


def exit_status(info: JobDetails) -> tuple[int, str]:
    """A job's end as an exit status (that of `wsshm sweep run`: 0 done, 1 failed, 2 the user's mistake) and a sentence."""
    status = str(info.status.value)
    code = info.driver_exit_code
    if status == "SUCCEEDED":
        return 0, "the job is done"
    if status == "STOPPED":
        return 1, "the job was stopped; submit it again to resume"
    if code is None:
        unmade = "RUNTIME_ENV" in str(info.error_type or "").upper() or "runtime_env" in str(info.message or "")
        return (2 if unmade else 1), f"the job could not run: {_last_line(info.message or status)}"
    if code < 0 or code > 128:
        return 1, f"the job was killed by signal {-code if code < 0 else code - 128}; submit it again to resume"
    return (2 if code == 2 else 1), f"the job ended with exit status {code}"


def _http(address: str) -> str:
    address = address.strip().rstrip("/")
    if "://" not in address:
        address = f"http://{address}"
    if not address.startswith(("http://", "https://")):
        raise UserError(f"--address {address} is not a dashboard's address; give one such as http://HEAD:8265")
    return address


def _token() -> tuple[str | None, str]:
    """The cluster's token and where it is from, in the order in which Ray looks."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None, "RAY_AUTH_MODE"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"].strip(), "RAY_AUTH_TOKEN"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return file.read_text().strip() or None, str(file)
    except OSError as error:
        if named:
            raise UserError(f"RAY_AUTH_TOKEN_PATH names {file}, which cannot be read ({error.strerror})") from None
        return None, str(file)


def _extra_headers() -> dict[str, str]:
    text = os.environ.get("RAY_JOB_HEADERS", "{}")
    try:
        return dict(json.loads(text))
    except ValueError:
        raise UserError(f'RAY_JOB_HEADERS is {text!r}; it must be JSON such as {{"KEY": "VALUE"}}') from None


@contextmanager
def _refused(address: str, source: str) -> Iterator[None]:
    """Ray's several ways to say that a token is missing or wrong, as one sentence."""
    from ray.exceptions import AuthenticationError

    places = "RAY_AUTH_TOKEN, in the file RAY_AUTH_TOKEN_PATH, or in ~/.ray/auth_token"
    try:
        yield
    except AuthenticationError as error:
        if "Authentication failed" in str(error):
            sentence = f"{address} rejects the token from {source}; put the cluster's into {places}"
        elif source == "RAY_AUTH_MODE":
            sentence = f"{address} asks for a token but RAY_AUTH_MODE=disabled withholds it; set RAY_AUTH_MODE=token"
        else:
            sentence = f"{address} asks for a token; put the cluster's (`ray get-auth-token` on its head) into {places}"
        raise UserError(sentence) from None
    except (RuntimeError, ConnectionError) as error:
        raise UserError(f"{address} cannot be used: {_last_line(error)}") from None


@contextmanager
def _address_as_given() -> Iterator[None]:
    """Ray lets these variables win over an address that was given; here the user's word counts."""
    kept = {name: os.environ.pop(name) for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ |= kept


def _field(node: Any, name: str) -> Any:
    return node[name] if isinstance(node, dict) else getattr(node, name)


def _cause(error: BaseException) -> str:
    """Why a connection failed, in the system's own words: urllib3 wraps them four deep."""
    text = str(error)
    found = re.findall(r"\[Errno -?\d+\] ([^'\")]+)", text)
    if found:
        return found[-1].lower()
    if "timed out" in text.lower():
        return "no answer in time"
    return re.sub(r"\s+", " ", text)[:120] or socket.gethostname()


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip().strip(".")]
    return lines[-1].rstrip(".") if lines else "no reason given"


def to_stdout(text: str) -> None:
    """Pass a piece of a log on at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
