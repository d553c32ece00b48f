"""Help texts at 80 columns, against golden files; and what else every command has in common.

`JEROBOAM_WRITE_GOLDEN=1 pytest tests/cli/test_help.py` writes the files anew: look at what changed.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from jeroboam.cli import app
from jeroboam.cli.terminal import fail, show_line, show_table

GOLDEN = pathlib.Path(__file__).parent / "help"
COLUMNS = 80

START = "start one with: jeroboam up (or name its folder: --state DIR)"


def walk(command, words=()):
    """Every command and group with the words that lead to it."""
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*words, name))


COMMANDS = dict(walk(typer.main.get_command(app)))
IDS = [" ".join(words) or "jeroboam" for words in COMMANDS]


def invoke(*words: str):
    return CliRunner().invoke(app, list(words), env={"COLUMNS": str(COLUMNS)}, prog_name="jeroboam")


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_help_is_as_it_was_looked_at(words):
    shown = invoke(*words, "-h").stdout
    file = GOLDEN / f"{'-'.join(('jeroboam', *words))}.txt"
    if os.environ.get("JEROBOAM_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(shown)
    assert shown == file.read_text()
    assert invoke(*words, "--help").stdout == shown
    assert max(map(len, shown.splitlines())) <= COLUMNS


def test_no_golden_file_is_of_a_command_that_is_gone():
    names = {f"{'-'.join(('jeroboam', *words))}.txt" for words in COMMANDS}
    assert {path.name for path in GOLDEN.iterdir()} == names


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if hasattr(command, "commands")])
def test_commands_stand_in_sections_and_each_has_a_whole_sentence(words):
    shown = invoke(*words, "-h").stdout
    assert "More:" not in shown
    assert "..." not in shown.partition("Options:")[2], "a text that is cut"
    narrow = CliRunner().invoke(app, [*words, "-h"], env={"COLUMNS": "60"}, prog_name="jeroboam").stdout
    assert "..." not in narrow.partition("Options:")[2], "a text that is cut"


def test_each_command_that_prints_a_table_has_json():
    for line in ("status", "doctor", "ps", "cluster list", "cluster nodes", "cluster check", "node-image list"):
        assert "-o, --output" in invoke(*line.split(), "-h").stdout, line


def test_the_version():
    assert re.fullmatch(r"jeroboam \d+\.\d+\.\d+\S*\n", invoke("--version").stdout)


def test_a_wrong_call_is_told_on_stderr_and_nothing_is_broken_over_lines(tmp_path):
    path = tmp_path / ("a-folder-with-a-long-name-" * 5) / "nothing.conf"
    done = invoke("ps", "--config", str(path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(path) in done.stderr
    done = invoke("status", "--state", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"jeroboam: there is no installation in {path}; {START}\n"
    done = invoke("clutser", "list")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "No such command 'clutser'" in done.stderr


def test_a_table_keeps_ids_whole_however_narrow(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    uuid = "4ae03dd7-5b9c-4b5c-b9ee-1ef8805390c1"
    show_table(("name", "uuid"), [("a", uuid), ("名字", uuid)])
    assert capsys.readouterr().out.splitlines() == ["NAME  UUID", f"a     {uuid}", f"名字  {uuid}"]


def test_what_is_printed_is_what_there_is(capsys):
    for text in ("registry:5000/app:dog:1", "[bold]text[/bold] [/x]", "a  b"):
        show_line(text)
        assert capsys.readouterr().out == f"{text}\n"
        with pytest.raises(SystemExit):
            fail(text)
        assert capsys.readouterr().err == f"jeroboam: {text}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    script = invoke("completion", shell).stdout
    assert "_JEROBOAM_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert invoke("completion", "ksh").stderr == "jeroboam: ksh: there is completion for bash, zsh and fish\n"


def test_bash_completes_commands_and_options(tmp_path):
    """The script as bash runs it."""
    typed = [("cluster cre", 2, "create"), ("cluster create --wo", 3, "--workers"), ("complet", 1, "completion")]
    lines = ["source <(jeroboam completion bash)"]
    for words, index, _ in typed:
        lines += [
            f"COMP_WORDS=(jeroboam {words}) COMP_CWORD={index}",
            "_jeroboam_completion jeroboam",
            'echo "${COMPREPLY[@]}"',
        ]
    program = pathlib.Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [completed for *_, completed in typed]
