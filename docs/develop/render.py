"""Write the table of docs/develop/rfc.tsv into the protocol page of each language."""

import pathlib

DOCS = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- rfc.tsv -->\n", "<!-- /rfc.tsv -->"
WORDS = {
    "en": ("title", "status", {"Yes": "Yes", "Partial": "Partial", "No": "No"}),
    "zh": ("标题", "状态", {"Yes": "是", "Partial": "部分", "No": "否"}),
}


def rows() -> list[list[str]]:
    """The table without its heading: number, title, status, where."""
    lines = (DOCS / "develop" / "rfc.tsv").read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def render(language: str) -> str:
    """The page of one language with its table made anew."""
    title, status, words = WORDS[language]
    head, _, rest = (DOCS / language / "protocols.md").read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    table = [f"| RFC | {title} | {status} |", "|---|---|---|"]
    table += [
        f"| [{number}](https://www.rfc-editor.org/rfc/rfc{number}) | {name} | {words[state]} |"
        for number, name, state, _ in rows()
    ]
    return f"{head}{BEGIN}" + "\n".join(table) + f"\n{END}{tail}"


if __name__ == "__main__":
    for each in WORDS:
        (DOCS / each / "protocols.md").write_text(render(each), "utf-8")
