"""Object stores that are not there, do not answer or refuse: a sentence, soon, without secrets."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Iterator

import pytest

from bench.store import Store
from reports.load import load
from tests.object_store import bucket
from wsshm.errors import UserError
from wsshm.files import filesystems
from wsshm.files.filesystems import RemoteError, open_address
from wsshm.files.location import Location, check_writable


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "CONNECT_S", 1)
    monkeypatch.setattr(filesystems, "SILENCE_S", 1)
    monkeypatch.setattr(filesystems, "ATTEMPTS", 1)


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(20)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["deaf", "closed", "unknown"])
def test_a_store_that_does_not_answer_says_so(no_waiting: None, deaf: str, kind: str) -> None:
    endpoint = {"deaf": deaf, "closed": "127.0.0.1:9", "unknown": "nowhere.invalid:9"}[kind]
    uri = f"s3://KEY:SECRET@bucket-{kind}/out?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    began = time.monotonic()
    for ask in (
        lambda: load(uri),
        lambda: Store(uri).read("runs"),
        lambda: Store(uri).finished(),
        lambda: Location.of(uri).read_text(),
        lambda: check_writable(Location.of(uri), "--out"),
    ):
        with pytest.raises(
            UserError, match=rf"s3://(\*\*\*@)?bucket-{kind}/out\S* does not answer; check the address"
        ) as told:
            ask()
        assert "SECRET" not in str(told.value)
        assert "\n" not in str(told.value)
    assert time.monotonic() - began < 30


def test_waits_and_tries_stay_below_a_minute() -> None:
    between = 2**filesystems.ATTEMPTS - 1  # what the SDK waits at most between tries
    assert filesystems.ATTEMPTS * max(filesystems.CONNECT_S, filesystems.SILENCE_S) + between < 60


def test_a_bucket_that_is_not_there_and_keys_that_are_refused() -> None:
    with bucket() as uri:
        missing = uri.replace("s3://b", "s3://another-b").format("store")
        with pytest.raises(UserError, match="does not exist"):
            Store(missing).read("runs")
        with pytest.raises(UserError, match="is in a bucket that does not exist; make the bucket first"):
            Store(missing).write("epochs", [{"run_id": "a", "stage": "s", "epoch": 1, "key": "k", "value": 1.0}])
    said = "When listing objects: AWS Error ACCESS_DENIED during ListObjectsV2 operation: Forbidden"
    filesystem, _ = open_address("s3://b/x?endpoint_override=127.0.0.1:9&scheme=http")
    refused = pytest.raises(RemoteError, match="s3://b/x refuses these credentials; set AWS_ACCESS_KEY_ID")
    with refused as told, filesystems.reaching(filesystem, "s3://b/x"):
        raise OSError(said)
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (
            "s3://b/x?endpoint_overide=h:1",
            "unknown option 'endpoint_overide'; the nearest valid choice is 'endpoint_override'",
        ),
        ("s3://K:SE/CRET@b/x", r"'s3://\*\*\*@b/x' holds a secret with a slash; leave the keys out"),
        ("s3:///x", "names no bucket"),
        (
            "foo://bar",
            "'foo://bar' cannot be opened: foo:// names no filesystem that is known; give a local folder, or an address that "
            "begins with s3://, gs://, abfs:// or hdfs://",
        ),
    ],
)
def test_addresses_that_cannot_be_opened(address: str, named: str) -> None:
    for opened in (Store, Location.of):
        with pytest.raises(UserError, match=named):
            opened(address)
