"""House rules that no linter has, checked on the syntax tree; `make check` runs it.

Code within a transaction awaits only the transaction. A call to another system there would hold the database's only
writer until that system answers.
"""

import ast
import pathlib
import sys


def _opens(item: ast.withitem) -> str | None:
    """Return the name under which a `with` item opens a transaction of the store."""
    call = item.context_expr
    if not (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in {"read", "write"}
    ):
        return None
    store = ast.unparse(call.func.value)
    named = isinstance(item.optional_vars, ast.Name)
    return item.optional_vars.id if named and store.endswith("store") else None  # type: ignore[union-attr]


def _foreign(block: ast.AsyncWith, name: str) -> list[ast.Await]:
    """Return the awaits in the block that do not use the transaction of that name."""
    found = []
    for statement in block.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Await):
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                if name not in used:
                    found.append(node)
    return found


def main() -> int:
    """Print the violations. Return 1 if there are any."""
    broken = []
    for path in sorted(pathlib.Path("src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncWith):
                for name in filter(None, map(_opens, node.items)):
                    broken += [
                        f"{path}:{wait.lineno} awaits within a transaction: {ast.unparse(wait)}"
                        for wait in _foreign(node, name)
                    ]
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
