"""Says what is wrong with a body that is not valid JSON, and where.

The decoder is fast and strict, but names neither the place of a number that is out of range nor half a surrogate pair.
Neighbour: `call`, which decodes.
"""

import codecs
import re
from math import isinf

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"?'
_TOKEN = re.compile(_STRING + rb"|-?(?:NaN|Infinity)|-?[0-9][0-9.eE+\-]*", re.DOTALL)
_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
# An escape of any kind, so that the second backslash of a pair begins none.
_ESCAPE = re.compile(rb"\\u(d[89ab]..)\\u(d[c-f]..)|\\u(d[89a-f]..)|\\.", re.DOTALL | re.IGNORECASE)
_PLACE = re.compile(r"\(byte ([0-9]+)\)")
# Python reads no longer integer from text.
_MOST_DIGITS = 4300
# The decoder's own bound is Python's stack, and so a little different at each request.
_SURELY_DEEP = 500


def describe_json_fault(body: bytes, error: Exception) -> str:
    """Return the reason in words, with its place in bytes. `error` is what the decoder raised."""
    if not body.strip():
        return "it is empty"
    if body.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark"
    try:
        body.decode()
    except UnicodeDecodeError as decode_error:
        return f"byte {decode_error.start}, 0x{body[decode_error.start]:02x}, is no UTF-8"
    if isinstance(error, RecursionError):
        return _describe_depth(body)
    reason = str(error).removeprefix("JSON is malformed: ").partition(" - at `")[0]
    place = _PLACE.search(reason)
    end = len(body) if place is None else int(place[1])
    fault = next((text for token in _TOKEN.finditer(body) if token.start() <= end and (text := _find_fault(token))), "")
    return fault or reason.replace("Input data was truncated", "it ends too early")


def _find_fault(token: re.Match[bytes]) -> str:
    """Return what is wrong with that string or number; an empty text if nothing is."""
    text, start = token[0], token.start()
    if text.startswith(b'"'):
        for escape in _ESCAPE.finditer(text) if b"\\" in text else ():
            if escape[3]:
                return f"half a surrogate pair at byte {start + escape.start()}"
        return ""
    if text[-1:].isalpha():
        return f"{text.decode()} at byte {start} is no number of JSON"
    try:
        is_beyond = len(text) > _MOST_DIGITS or isinf(float(text))
    except ValueError:
        return ""
    return f"the number at byte {start} is out of range" if is_beyond else ""


def _describe_depth(body: bytes) -> str:
    depth = 0
    for bracket in _BRACKET.finditer(body):
        depth += (bracket[0] in b"[{") - (bracket[0] in b"]}")
        if depth > _SURELY_DEEP:
            return f"it is nested more than {_SURELY_DEEP} deep at byte {bracket.start()}"
    return "it is nested too deeply"
