"""What `make docs` relies on: each page is in the site's navigation, and a broken link is reported with its page."""

import pathlib
import re

import pytest
import yaml
from scripts import docs_site

ROOT = pathlib.Path(__file__).parents[2]
GOOD = '<a href="other.html#here">other</a> <a href="https://example.org/">elsewhere</a> <script src="a.js"></script>'


def pages_of(entries: list) -> list[str]:
    """Every page of a navigation, whatever it is called there."""
    pages = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            pages += pages_of(value) if isinstance(value, list) else [value]
    return pages


def test_each_page_is_in_the_navigation_once():
    # What stands before it has tags that are Python's.
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2])
    pages = {str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))}
    assert sorted(pages_of(nav)) == sorted(pages)


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        (GOOD, None),
        ('<a href="gone.html">gone</a>', "page.html: gone.html leads to no file"),
        ('<a href="folder/">a folder</a>', "page.html: folder/ leads to no file"),
        ('<a href="other.html#gone">gone</a>', "page.html: other.html#gone leads to no anchor"),
        ('<a href="#gone">gone</a>', "page.html: #gone leads to no anchor"),
        (
            '<script src="https://example.org/a.js"></script>',
            "page.html: https://example.org/a.js is loaded from another site",
        ),
        ('<img src="//example.org/a.png">', "page.html: //example.org/a.png is loaded from another site"),
        (
            '<link rel="stylesheet" href="https://example.org/font.css">',
            "page.html: https://example.org/font.css is loaded from another site",
        ),
    ],
)
def test_faults_of_built_pages(tmp_path, html, fault):
    (tmp_path / "page.html").write_text(html)
    (tmp_path / "other.html").write_text('<h1 id="here">other</h1>')
    (tmp_path / "a.js").touch()
    (tmp_path / "folder").mkdir()
    assert docs_site.list_broken(tmp_path) == ([fault] if fault else [])


def code_blocks(name: str) -> list[str]:
    """The code blocks of a page, as they are."""
    return re.findall(r"^```.*?^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def links(name: str) -> set[str]:
    """The pages that a page links to, but for its other language."""
    return set(re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text())) - {"README.md", "README.zh.md"}


def test_both_readmes_have_the_same_commands_and_links():
    commands = code_blocks("README.md")
    assert len(commands) > 2
    assert code_blocks("README.zh.md") == commands
    assert links("README.zh.md") == links("README.md")
    assert "(README.zh.md)" in (ROOT / "README.md").read_text()[:200]
    assert "(README.md)" in (ROOT / "README.zh.md").read_text()[:200]
