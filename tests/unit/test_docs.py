"""The documents as text: line lengths, links, versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsched import __version__

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_prose_is_wrapped_at_120_columns(document: Path) -> None:
    text = re.sub(r"^<!-- (?!end).*?^<!-- end of [^\n]*$|^```.*?^```$", "", document.read_text(),
                  flags=re.DOTALL | re.MULTILINE)
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_changelog_begins_with_what_is_released_last() -> None:
    versions = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


def test_the_map_lists_every_repair() -> None:
    sweep = "".join(path.read_text() for path in sorted((ROOT / "jobsched" / "dispatch").glob("*.py")))
    map_ = (ROOT / "docs" / "architecture.md").read_text()
    repairs = {*re.findall(r'^ +"(\w+)": ', sweep, re.MULTILINE), "broken_board", "set_aside"}
    assert len(repairs) > 10
    assert [repair for repair in sorted(repairs) if f"`{repair}`" not in map_] == []


def test_the_quick_tests_that_the_makefile_names_are_there() -> None:
    quick = (ROOT / "Makefile").read_text().partition("QUICK = ")[2].partition("\n\n")[0]
    files = re.findall(r"\w+/test_\w+\.py", quick)
    assert len(files) > 5
    assert [file for file in files if not (ROOT / "tests" / "integration" / file).is_file()] == []
