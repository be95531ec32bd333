"""What an error may say: no secrets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsshm.errors import redacted


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("s3://AKIA:sEcReT@bucket/out/store", "s3://***@bucket/out/store"),
        ("s3://AKIA:sE/cR/eT+=@bucket/out", "s3://***@bucket/out"),  # a slash that should have been %2F
        ("https://ghp_token@github.com/x/y", "https://***@github.com/x/y"),
        (
            "s3://b/o?region=eu&scheme=http&endpoint_override=h:9",
            "s3://b/o?region=eu&scheme=http&endpoint_override=h:9",
        ),
        ("s3://b/o?secret=abc&region=eu&sig=x%2Fy", "s3://b/o?secret=***&region=eu&sig=***"),
        (
            "the store 's3://K:S@b/o' and s3://K:T@c/p?sv=1 fail",
            "the store 's3://***@b/o' and s3://***@c/p?sv=*** fail",
        ),
        ('{"root": "gs://u:p@b/x?token=t"}', '{"root": "gs://***@b/x?token=***"}'),
        ("ray://head:10001/a@b", "ray://head:10001/a@b"),  # a port and a path are no password
        ("s3://bucket/user@home/x", "s3://bucket/user@home/x"),
        ("mail a@b.c, 3:4, C:/x?y=z", "mail a@b.c, 3:4, C:/x?y=z"),
    ],
)
def test_addresses_lose_their_secrets_and_nothing_else(given: str, shown: str) -> None:
    assert redacted(given) == shown


@settings(max_examples=60)
@given(st.text("ABCxyz019/+=%._-", min_size=4), st.text("abc", min_size=1), st.sampled_from(["s3", "gs", "https"]))
def test_a_password_is_never_shown(secret: str, bucket: str, scheme: str) -> None:
    secret = f"x{secret}"
    for address in (f"{scheme}://KEY:{secret}@{bucket}/out", f"{scheme}://{bucket}/out?secret_access_key={secret}"):
        shown = redacted(f"cannot open {address!r}: no answer")
        assert secret not in shown.replace(bucket, "").replace("secret_access_key", "")
        assert shown.endswith(": no answer")
