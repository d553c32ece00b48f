r"""Makes texts of others fit for a terminal.

A character that commands the terminal, or that changes the order of others, becomes its code: ESC becomes `\x1b`.
"""

import re

CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and new line, DEL, C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the order of writing
    r"\u2028\u2029\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"  # other lines; what is never displayed
)
LINE_CONTROLS = re.compile(rf"{CONTROLS.pattern[:-1]}\t\n]")


def escape_controls(text: str) -> str:
    """Return the text with control characters as their codes. Tabs and new lines stay."""
    return CONTROLS.sub(format_code, text)


def escape_line(text: str) -> str:
    """Return the same in one line: tabs and new lines are codes too."""
    return LINE_CONTROLS.sub(format_code, text)


def format_code(match: re.Match[str]) -> str:
    """Return the code of the character that was matched."""
    return match[0].encode("ascii", "backslashreplace").decode() if match[0] > "\x7f" else repr(match[0])[1:-1]
