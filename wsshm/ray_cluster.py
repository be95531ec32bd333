"""Join a Ray cluster, or start one on this machine: what Ray would silently wait for is checked first."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private.services import canonicalize_bootstrap_address

from wsshm import plugins
from wsshm.console import CODE
from wsshm.errors import UserError, last_sentence
from wsshm.files import node_cache

ADDRESS_VARIABLE = "RAY_ADDRESS"
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray sets in the process of a submitted job."""
CARRIED = (plugins.VARIABLE, node_cache.VARIABLE)
"""Variables that a cluster's processes get from the one that joins it."""
ANSWER_S = 10.0
"""How long a head may take to accept a connection, and again to answer."""

SOCKET_BYTES = 107
SESSION_BYTES = len(b"/session_2026-11-29_00-00-00_000000_1234567/sockets/plasma_store.10")
"""What Ray adds to its temporary folder for a Unix socket, whose name the system limits to `SOCKET_BYTES`."""

log = logging.getLogger(__name__)


class NotStarted(UserError):
    """Ray did not come up on this machine, which may be too busy just now."""


def connect() -> bool:
    """Be in a Ray cluster: the one at hand, RAY_ADDRESS's, else a new local one. True where it was not at hand.

    Raises UserError within a minute where that cannot be.
    """
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if named():
        join(named(), ADDRESS_VARIABLE, **quiet)
    else:
        start(**quiet)
    return True


def named() -> str:
    """The cluster that RAY_ADDRESS names; "" where a new one is to be started."""
    address = os.environ.get(ADDRESS_VARIABLE, "").strip()
    return "" if address == "local" else address


def check_named() -> None:
    """Raise UserError where RAY_ADDRESS names a cluster that does not answer: asked before data is opened or drawn."""
    if named() and not ray.is_initialized():
        check_address(named(), ADDRESS_VARIABLE)


def join(address: str, source: str, **options: Any) -> None:
    """Join the cluster at `address`, which the user gave by `source` (a variable, an option).

    Raises UserError where nothing answers there; Ray itself would try for a quarter of an hour.
    """
    check_address(address, source)
    plugins.named()  # makes their paths absolute
    carried = {name: os.environ[name] for name in CARRIED if os.environ.get(name)}
    if carried and JOB_VARIABLE not in os.environ:  # a job's processes have the job's variables
        options["runtime_env"] = {"env_vars": carried}
    try:
        _init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"the cluster at {address} cannot be joined ({last_sentence(error)}); {_remedy(source)}"
        ) from None


def check_address(address: str, source: str) -> None:
    """Raise UserError unless the head of a Ray cluster answers at `address`, which is HOST:PORT or `auto`."""
    if address == "auto":  # what `ray start` left on this machine, which may be dead
        found = canonicalize_bootstrap_address("auto")
        if found is None:
            raise UserError(f"no cluster runs on this machine; {_remedy(source)}")
        address = found
    scheme, separator, _ = address.partition("://")
    if separator:
        dashboard = f"; a dashboard's address is for `wsshm sweep submit --address {address}`"
        instead = dashboard if scheme.startswith("http") else ""
        raise UserError(
            f"{source} is {address}, and what runs inside a cluster takes its head's own address, such as HOST:6379"
            f"{instead}; {_remedy(source)}"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"{source} is {address!r}; it takes HOST:PORT of a cluster's head, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        why = (error.strerror or str(error) or "no answer").lower()
        raise UserError(f"no cluster answers at {address}, which {source} names ({why}); {_remedy(source)}") from None
    if os.environ.get("RAY_USE_TLS") == "1":  # only Ray has the certificates
        return
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_S)
        except grpc.FutureTimeoutError:
            raise UserError(
                f"what answers at {address}, which {source} names, is not the head of a Ray cluster (whose port is 6379"
                f" unless it was started with another); {_remedy(source)}"
            ) from None


def start(folder: Path | None = None, **options: Any) -> None:
    """Start a cluster on this machine. Its files lie in `folder`, else in the first that is fit for its sockets.

    Raises UserError if it fails. Where the home folder is read-only it goes by a token of its own: Ray would write one there.
    """
    folder = (folder or temporary_folder()).absolute()
    if "TMPDIR" in os.environ and _unfit(Path(os.environ["TMPDIR"])):
        os.environ["TMPDIR"] = str(folder.parent)  # the cluster's processes open sockets of their own there
    if not _home_keeps_tokens():
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Ray Train's watcher of nodes that are about to be taken away is a process a run, and nobody takes this machine away.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    try:
        _init("local", _temp_dir=str(folder), **options)
    except Exception as error:  # Ray raises nothing narrower
        raise NotStarted(
            f"Ray could not start a cluster here ({last_sentence(error)}); if the machine is overloaded, try again"
        ) from error


def _init(address: str, **options: Any) -> None:
    """Call `ray.init` so that workers import our code, whatever lies in the working directory.

    Ray puts the folder that it is called in before all others on its workers' path. Paths given to it must be absolute.
    """
    with contextlib.chdir(CODE):
        ray.init(address=address, **options)


def temporary_folder() -> Path:
    """Where Ray keeps its sockets and logs: below RAY_TMPDIR, else TMPDIR, else a short folder of this user's.

    Raises UserError where RAY_TMPDIR cannot serve, or nothing can.
    """
    wished = os.environ.get("RAY_TMPDIR")
    if wished:
        if trouble := _unfit(Path(wished) / "ray"):
            missing = trouble == os.strerror(errno.ENOENT).lower()
            remedy = "make it, or name another short folder" if missing else "name a short folder"
            raise UserError(f"RAY_TMPDIR is {wished}, where Ray cannot keep its files ({trouble}); {remedy}")
        return Path(wished) / "ray"
    usual = Path(os.environ.get("TMPDIR") or "/tmp") / "ray"
    troubles: list[str] = []
    for folder in (usual, Path("/tmp/ray"), Path(f"/tmp/ray-{os.getuid()}"), Path(f"/var/tmp/ray-{os.getuid()}")):
        trouble = _unfit(folder)
        if not trouble:
            if folder != usual:
                log.info("Ray keeps its files in %s, not %s: %s", folder, usual, troubles[0])
            return folder
        troubles.append(trouble)
    raise UserError(
        f"Ray cannot keep its files in {usual} ({troubles[0]}) nor below /tmp; set RAY_TMPDIR to a short folder that you"
        " can write to"
    )


def _unfit(folder: Path) -> str:
    """Why a folder cannot hold Ray's files; "" where it can."""
    if len(os.fsencode(folder)) + SESSION_BYTES > SOCKET_BYTES:
        return f"its path is too long for Unix sockets, {SOCKET_BYTES - SESSION_BYTES} bytes are the most"
    try:
        with tempfile.NamedTemporaryFile(dir=folder if folder.exists() else folder.parent):
            return ""
    except OSError as error:
        return str(error.strerror).lower()


def _home_keeps_tokens() -> bool:
    """Whether Ray can read or write its token in the home folder, or is told another place."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return True
    try:
        folder = Path.home() / ".ray"
        if (folder / "auth_token").is_file():
            return True
        folder.mkdir(exist_ok=True)
        return os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return False


def _remedy(source: str) -> str:
    if source == ADDRESS_VARIABLE:
        return "unset it to run on this machine"
    return (
        "give the cluster's dashboard by --address http://HEAD:8265, and its token as `wsshm sweep submit --help` says"
    )
