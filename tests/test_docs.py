"""The documents: both languages say the same, links lead somewhere, decisions have their four parts."""

import pathlib
import re

from tests.tree import ROOT, text_files

DOCS = ROOT / "docs"
LANGUAGES = ("en", "zh")


def pages(language: str) -> dict[str, pathlib.Path]:
    folder = DOCS / language
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def test_every_page_has_a_twin_in_the_other_language() -> None:
    english, chinese = (pages(language).keys() for language in LANGUAGES)
    assert english
    assert english == chinese


def shape(page: str) -> tuple[list[int], list[str], int]:
    """Heading levels, code blocks and table rows: what a translation must not change."""
    code = re.findall(r"^```.*?^```", page, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = [len(h) for h in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    commands = [re.sub(r"#.*", "", c) for c in code if c.startswith(("```\n", "```sh", "```toml"))]
    return headings, commands, len(re.findall(r"^\|", prose, re.MULTILINE))


def test_twins_say_the_same_things_in_the_same_order() -> None:
    twins = [(DOCS / "en" / name, DOCS / "zh" / name) for name in pages("en") if name.endswith(".md")]
    twins.append((ROOT / "README.md", ROOT / "README.zh-CN.md"))
    for english, chinese in twins:
        assert shape(english.read_text("utf-8")) == shape(chinese.read_text("utf-8")), english.name


def test_links_lead_somewhere() -> None:
    broken = []
    for page in [p for p in text_files() if p.suffix == ".md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if (
                "://" not in target
                and not target.startswith("mailto:")
                and not (page.parent / target).exists()
            ):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_decisions_are_numbered_and_say_when_to_revisit_them() -> None:
    decisions = sorted((DOCS / "develop" / "adr").glob("*.md"))
    numbers = [p.name[:4] for p in decisions]
    assert decisions
    assert len(numbers) == len(set(numbers))
    for path in decisions:
        text = path.read_text("utf-8")
        assert re.match(rf"# {path.name[:4]} \S", text), path.name
        for part in ("Context", "Choice", "Price", "When to revisit"):
            assert f"\n## {part}\n" in text, (path.name, part)


def test_the_protocol_pages_hold_the_table_of_rfcs() -> None:
    listed = {
        row.split("\t")[0]: row.split("\t")[1]
        for row in (DOCS / "develop/rfc.tsv").read_text("utf-8").splitlines()
    }
    for language in LANGUAGES:
        page = (DOCS / language / "protocols.md").read_text("utf-8")
        shown = dict(re.findall(r"^\| \[(\d+)\]\([^)]*\) \| (.+) \| \S+ \|$", page, re.MULTILINE))
        assert len(shown) >= 20
        assert shown.items() <= listed.items()
