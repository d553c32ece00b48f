"""The page for people who know kind: its commands are typed at a service on fakes, and print what the page shows.

What programs of others do (`kubectl`) is not typed: fake nodes have none. Times, ids, addresses and versions differ.
"""

import re
import shutil

from tests.cli.conftest import service_log  # noqa: F401
from tests.cli.rig import Typist, running, seed_templates
from tests.docs.test_tutorial import blocks

PAGE = "coming-from-kind.md"
OTHERS = ("kubectl ",)
_FACTS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"-[0-9a-f]{8}-"), "-ID-"),
    (re.compile(r"^ *\d+\.\d s "), "TIME "),
    (re.compile(r"\d+\.\d+\.\d+\.\d+"), "ADDRESS"),
    (re.compile(r"\bv1\.36\.3$|1\.0-fake"), "VERSION"),
    (re.compile(r"/\S+/(kube)?config$"), "FILE"),
    (re.compile(r"/\S+/bin/jeroboam"), "jeroboam"),
    (re.compile(r" +"), " "),
)


def normalise(line: str) -> str:
    for pattern, word in _FACTS:
        line = pattern.sub(word, line)
    return line.strip()


def is_shown(wanted: list[str], printed: list[str]) -> bool:
    """Whether those lines were printed in that order; an ellipsis stands for any number of lines."""
    if not wanted:
        return not printed
    if wanted[0] == "…":
        return any(is_shown(wanted[1:], printed[skip:]) for skip in range(len(printed) + 1))
    return bool(printed) and printed[0] == wanted[0] and is_shown(wanted[1:], printed[1:])


async def type_block(cli: Typist, folder, text: str) -> list[str]:
    """Type the commands of a block; what they print."""
    document = re.search(r"^cat > (\S+) <<'END'\n(.*?)^END\n", text, re.MULTILINE | re.DOTALL)
    if document is not None:
        (folder / document[1]).write_text(document[2])
        text = text.replace(document[0], "").replace(document[1], str(folder / document[1]))
    printed = []
    for line in text.splitlines():
        if not line.startswith(OTHERS):
            assert line.startswith("jeroboam "), line
            printed += (await cli(line.removeprefix("jeroboam "))).splitlines()
    return printed


async def test_the_page_is_true(tmp_path, empty_database, service_log):  # noqa: F811
    page = blocks(PAGE)
    async with running(tmp_path, shutil.copy(empty_database, tmp_path / "store.db")) as service:
        await seed_templates(service.store)
        cli = Typist(service.environment())
        for block, following in zip(page, [*page[1:], None], strict=True):
            if block.kind != "sh":
                continue
            printed = [normalise(line) for line in await type_block(cli, tmp_path, block.text)]
            if following is not None and following.kind == "text" and not re.match(r"jeroboam|docker", following.text):
                wanted = [normalise(line) for line in following.text.splitlines()]
                assert is_shown(wanted, printed), (following.text, printed)
        assert await cli("cluster list -o json") == "[]\n"
        assert len([block for block in page if block.kind == "sh"]) == 8
