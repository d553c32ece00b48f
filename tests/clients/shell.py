"""The published `openstack` command, kept open: one process that runs one command line after another.

Starting it takes longer than most of what it does. What runs is the client's own entry point, with its own arguments,
environment and exit status. Reads a JSON list of arguments a line, writes a JSON object with status and output a line.
"""

import contextlib
import io
import json
import sys

from openstackclient.shell import main


def run(arguments: list[str]) -> dict:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
    return {"status": status or 0, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    answers = sys.stdout
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
