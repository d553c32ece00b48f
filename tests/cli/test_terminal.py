"""What others wrote is printed as it stands, and commands no terminal."""

import json
import sys

import pytest
from rich.text import Text

from jeroboam.cli.terminal import report_errors, show_json, show_line, show_output, show_table
from jeroboam.domain.errors import Permanent

EVIL = "a\x1b[2J\x07\r\x7f\x9b1m\u202eb\u2066\ud800"
SHOWN = r"a\x1b[2J\x07\r\x7f\x9b1m\u202eb\u2066\ud800"


def test_a_line_has_codes_in_place_of_controls(capsys):
    show_line(EVIL)
    show_line(Text.assemble(("x", "dim"), "\x9b2J", "\u202ey"))
    assert capsys.readouterr().out == f"{SHOWN}\nx\\x9b2J\\u202ey\n"


def test_new_lines_and_all_scripts_stay(capsys):
    show_line("один\nשתיים 三 👩‍💻")
    assert capsys.readouterr().out == "один\nשתיים 三 👩‍💻\n"


def test_a_cell_is_one_line(capsys):
    show_table(("name", "state"), [(f"{EVIL}\nb", "ok"), (Text("c\x1b", style="bold"), "ok")])
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == [rf"{SHOWN}\nb", "ok"]
    assert out.splitlines()[2].split() == [r"c\x1b", "ok"]


def test_an_error_has_codes_too(capsys):
    with pytest.raises(SystemExit), report_errors():
        raise Permanent(f"{EVIL}\n")
    assert capsys.readouterr().err == f"jeroboam: {SHOWN}\\n\n"


def test_json_is_the_same_value_without_controls(capsys):
    show_json({EVIL: ["é\U000e0041"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {EVIL: ["é\U000e0041"]}
    assert "é" in out
    assert not set(out) & set(EVIL.replace("a", "").replace("b", "").replace("[2J", "").replace("1m", ""))


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, "\\x1b[31mred\n\t"), (False, "\x1b[31mred\r\n\t")])
def test_the_output_of_a_program_is_changed_on_a_terminal_only(capsys, monkeypatch, is_terminal, shown):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    show_output("\x1b[31mred\r\n\t")
    assert capsys.readouterr().out == shown
