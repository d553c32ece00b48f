"""Measures the names of the tree against docs/decisions/0014; `make check` runs it.

Two shares are printed: of variables and arguments that are stand-ins (`it`, `said`, `found`) and of functions whose
name is a bare participle (`made`, `told`). Both have a limit. Most tests are older than the decision: they have limits
of their own, which only go down. Names that the decision retired are refused. `--list [PATH-PREFIX …]` prints each of
them with its place.
"""

import ast
import pathlib
import re
import sys
from collections.abc import Iterator

LIMITS = {"src": (0.02, 0.03), "tests": (0.14, 0.055)}
"""The highest shares of stand-ins and of bare participles, by folder."""

_IRREGULAR = frozenset(
    "begun bent bought bound brought built caught chosen done drawn driven fed felt forgotten found given gone heard "
    "held hidden kept known laid led left lent lost made meant met paid seen sent shown sold spent spoken stood taken "
    "taught told thought torn understood woken won worn written".split()
)
_STAND_INS = frozenset(
    "all any both each enough few he how it itself many more most much neither none others own rest said same several "
    "she some such that them there these they thing things this those what which who whole whose why".split()
)
# Nouns and adjectives of the field that only look like participles.
_NOUNS = frozenset(
    "binding children deadline embedded encoding everything feed heading listing mapping meaning missing "
    "nothing observed open padding pending ping proceed rating reading remaining ring seed setting shed speed string "
    "timing warning warnings weaken wording".split()
)
# Verbs that are spelt like their participle.
_VERBS = frozenset("bring embed feed need open ping proceed read seed".split())
_RENAMES = pathlib.Path("docs/decisions/0014-renames.md")
_ROW = re.compile(r"^\| `([\w.]+)` \| `(\w+)` \| `\w+` \|$", re.MULTILINE)
_MODULE_ROW = re.compile(r"^\| `([\w.]+)` \| `[\w.]+` \|$", re.MULTILINE)


def is_participle(word: str) -> bool:
    """Whether that word is a participle and nothing else."""
    if word in _NOUNS or word in _VERBS or len(word) < 4:
        return False
    return word in _IRREGULAR or re.fullmatch(r"[a-z]+(ed|ing)", word) is not None


def is_stand_in(name: str) -> bool:
    """Whether a variable's name does not say what the variable holds. Constants do not count."""
    plain = name.strip("_")
    return plain in _STAND_INS or is_participle(plain)


def is_bare(name: str) -> bool:
    """Whether a function's name is a participle, as `made`, `asked_for` and `_seen` are."""
    return is_participle(name.strip("_").partition("_")[0])


def list_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each variable and argument, except those of comprehensions."""
    comprehended = {
        id(target) for node in ast.walk(tree) if isinstance(node, ast.comprehension) for target in ast.walk(node.target)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in comprehended:
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def list_functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name


def list_retired(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Yield modules, classes, functions and constants whose name is retired in the table of renames."""
    modules = {path.removeprefix("src/jeroboam/").removesuffix(".py").replace("/", "."): path for path in trees}
    text = _RENAMES.read_text()
    for old in _MODULE_ROW.findall(text.partition("## Classes")[0]):
        if old in modules and not old.endswith(".__init__"):
            yield f"{modules[old]}: the module {old} has another name now"
    for module, old in _ROW.findall(text):
        path = modules.get(module, modules.get(f"{module}.__init__"))
        if path is not None and old in list_definitions(trees[path]):
            yield f"{path}: {old} has another name now"


def list_definitions(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top level."""
    definitions = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assignments = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return definitions | {target.id for target in assignments if isinstance(target, ast.Name)}


def parse_files(folder: str, prefixes: tuple[str, ...]) -> dict[str, ast.Module]:
    """Return the syntax trees of the folder's files whose paths have one of the prefixes, by path."""
    paths = (str(path) for path in sorted(pathlib.Path(folder).rglob("*.py")))
    return {path: ast.parse(pathlib.Path(path).read_text()) for path in paths if path.startswith(prefixes)}


def is_within_limits(folder: str, trees: dict[str, ast.Module], *, with_places: bool) -> bool:
    """Print the shares of the folder, or also the places. Return whether both shares are within their limits."""
    names = [(path, *name) for path, tree in trees.items() for name in list_names(tree)]
    functions = [(path, *name) for path, tree in trees.items() for name in list_functions(tree)]
    stand_ins = [f"{path}:{line} {name}" for path, line, name in names if is_stand_in(name)]
    bare = [f"{path}:{line} {name}()" for path, line, name in functions if is_bare(name)]
    if with_places:
        print(*stand_ins, *bare, sep="\n")
    shares = (len(stand_ins) / len(names), len(bare) / len(functions))
    limits = LIMITS[folder]
    print(f"{folder}: variables that are stand-ins: {shares[0]:.1%} of {len(names)} (limit {limits[0]:.1%})")
    print(f"{folder}: functions called by a participle: {shares[1]:.1%} of {len(functions)} (limit {limits[1]:.1%})")
    return shares[0] <= limits[0] and shares[1] <= limits[1]


def main() -> int:
    """Print the shares, or with `--list` the places. Return 1 above a limit."""
    prefixes = tuple(sys.argv[2:]) or tuple(LIMITS)
    is_good = True
    for folder in LIMITS:
        if trees := parse_files(folder, prefixes):
            is_good &= is_within_limits(folder, trees, with_places="--list" in sys.argv)
    retired = list(list_retired(parse_files("src", prefixes)))
    print(*retired, sep="\n", end="\n" if retired else "")
    return 0 if is_good and not retired else 1


if __name__ == "__main__":
    sys.exit(main())
