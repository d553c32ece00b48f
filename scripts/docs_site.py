"""Builds the documentation as a site that needs no network, in `build/site`; `make docs` runs it.

The pages keep the places they have in the repository, so that a link is right here and on a git host. Zensical checks
the links between pages. Of what it wrote, each link has to lead to a file and an anchor of the site, and nothing may be
loaded from another one.
"""

import html.parser
import pathlib
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = pathlib.Path(__file__).parents[1]
STAGE = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
TOP = ("*.md", "LICENSE")
# What only the site has to know of a page: a wide table takes the width of the list of headings, and a table of 1,000
# old names is not searched.
HEADS = {"docs/routes.md": "hide: [toc]", "docs/decisions/0014-renames.md": "search: {exclude: true}"}
LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
# How Zensical ends when a link is broken, in place of a sentence.
STRICT = "Aborted because --strict flag is set"
# Links that only name a place, and load nothing from it.
NAMED = {"a"}


class Page(html.parser.HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag's link and its anchor."""
        values = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := values.get(name)))
        if tag in LINKS and (link := values.get(LINKS[tag])):
            self.links.append((tag, link))


def stage_pages() -> None:
    """Copy what the site is made of, so that no page of ours is written to."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", STAGE / "docs")
    for path in (path for pattern in TOP for path in ROOT.glob(pattern)):
        shutil.copy(path, STAGE)
    for name, head in HEADS.items():
        path = STAGE / name
        path.write_text(f"---\n{head}\n---\n{path.read_text()}")


def build_pages() -> list[str]:
    """Build the site from the copies. Return what is wrong with them: what Zensical says, without its colours."""
    shutil.rmtree(SITE, ignore_errors=True)
    program = pathlib.Path(sys.executable).with_name("zensical")
    command = [program, "build", "--strict", "--clean", "--config-file", ROOT / "mkdocs.yml"]
    built = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode == 0:
        return []
    text = re.sub(r"\x1b\[[0-9;]*m", "", built.stdout).rstrip()
    return [text.partition("\nTraceback ")[0] if text.endswith(STRICT) else text]


def list_broken(site: pathlib.Path) -> list[str]:
    """Return what is wrong with the links of a built site, a line each."""
    pages = {path.resolve(): Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    broken = []
    for path, page in pages.items():
        for tag, link in page.links:
            if reason := _fault(path, tag, link, pages):
                broken.append(f"{path.relative_to(site.resolve())}: {link} {reason}")
    return broken


def _fault(path: pathlib.Path, tag: str, link: str, pages: dict[pathlib.Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return "" if tag in NAMED or parts.scheme == "data" else "is loaded from another site"
    place, anchor = urldefrag(link)
    target = (path.parent / unquote(place)).resolve() if place else path
    if not target.is_file():
        return "leads to no file"
    if anchor and target in pages and unquote(anchor) not in pages[target].anchors:
        return "leads to no anchor"
    return ""


def main() -> int:
    """Build the site. Return 1 with the reasons when a link is broken."""
    stage_pages()
    broken = build_pages() or list_broken(SITE)
    for line in broken:
        print(line, file=sys.stderr)
    if not broken:
        print(f"the documentation is in {SITE.relative_to(pathlib.Path.cwd())}/index.html")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
