"""Checks the size budget: a file stays under 400 lines and a function under 60.

A longer file is a flat table, or one story that would not be easier to read in two files; LONGER has the reason.
"""

import ast
import pathlib
import sys

FILE_LINES = 400
FUNCTION_LINES = 60
LONGER = {
    "src/jeroboam/store/migrations/versions/": "a version is a flat list of statements",
    "src/jeroboam/coes/base.py": "a contract, most of which is what its docstrings promise",
}


def main() -> int:
    """Print what exceeds the budget. Return 1 if anything does."""
    over = []
    for root in ("src", "tests", "scripts"):
        for path in sorted(pathlib.Path(root).rglob("*.py")):
            if str(path).startswith(tuple(LONGER)):
                continue
            text = path.read_text()
            lines = text.count("\n")
            if lines > FILE_LINES:
                over.append(f"{path}: {lines} lines (budget {FILE_LINES})")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    if length > FUNCTION_LINES:
                        over.append(f"{path}:{node.lineno} {node.name}: {length} lines (budget {FUNCTION_LINES})")
    for line in over:
        print(line)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
