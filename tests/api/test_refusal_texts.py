"""Texts of refusals: what is wrong with a body that is no JSON, and where; the whole name of what does not exist."""

from urllib.parse import quote

import pytest


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": 1e999}', "the number at byte 9 is out of range"),
        (b'{"name": [-1e999]}', "the number at byte 10 is out of range"),
        (b'{"name": ' + b"9" * 5000 + b"}", "the number at byte 9 is out of range"),
        (b'{"name": NaN}', "NaN at byte 9 is no number of JSON"),
        (b'{"name": -Infinity}', "-Infinity at byte 9 is no number of JSON"),
        (b'{"a": "NaN", "name": "\\ud800"}', "half a surrogate pair at byte 22"),
        (b'{"name": "a\\udc00\\ud800"}', "half a surrogate pair at byte 11"),
        (b'{"\\ud800\\ud800": 1}', "half a surrogate pair at byte 2"),
        (b"[" * 100_000, "it is nested more than 500 deep at byte 500"),
        (b'{"[[[":' + b'{"a":' * 50_000, "it is nested more than 500 deep at byte 2502"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"name": "\xff"}', "byte 10, 0xff, is no UTF-8"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b'{"name": 1,}', "trailing comma in object (byte 11)"),
        (b'{"a": x, "name": NaN}', "invalid character (byte 6)"),
        (b'{"name": ', "it ends too early"),
    ],
)
@pytest.mark.parametrize("family", ["infra", "zun"])
async def test_a_body_that_is_no_json_says_what_is_wrong_and_where(infra, zun, family, body, reason):
    client, path = (infra, "/v1/clustertemplates") if family == "infra" else (zun, "/v1/containers")
    answer = await client.request("POST", path, raw=body)
    assert (answer.status, answer.error["detail"]) == (400, f"The body is not valid JSON: {reason}.")


@pytest.mark.parametrize("ident", [".", "..", "a.", "a. b", "a. B", "v1. 36", "a could not be found. B"])
async def test_the_title_of_a_404_has_the_whole_name(infra, ident):
    answer = await infra.get(f"/v1/clusters/{quote(ident)}")
    assert (answer.status, answer.error["title"]) == (404, f"Cluster {ident} could not be found")
