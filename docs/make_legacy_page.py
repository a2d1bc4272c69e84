"""Make docs/legacy-models.md of the V3 registry: ``python docs/make_legacy_page.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kie_registry

PAGE = Path(__file__).with_name("legacy-models.md")
#: The order of the sections: status, title, what it means for a caller.
SECTIONS = (
    ("current", "Work again", "Kie has a model that makes the same: the id buys it, with what the id itself fixes."),
    (
        "unclear",
        "Unclear",
        "They have left Kie's pages or its prices. They can be bought, with a warning.",
    ),
    ("gone", "Gone", "Kie does not offer them any more. They raise `ModelGone`; nothing is sent."),
)  # fmt: skip


def page() -> str:
    """Return the text of the page."""
    document = json.loads(kie_registry.read(kie_registry.V3))
    rows = document["models"]
    groups = {status: [row for row in rows if row["status"] == status] for status, _, _ in SECTIONS}
    counts = ", ".join(f"{len(groups[status])} {title.lower()}" for status, title, _ in SECTIONS)
    lines = [
        "# The 210 models of the V3 registry",
        "",
        f"{len(rows)} ids: {counts}. As of {document['read']}; this page is made by `docs/make_legacy_page.py` of",
        "`registry/kie_registry/kie_models_source_of_truth.json`. `kie model ID` shows the inputs of one.",
        "",
        f"Prices are those of the old registry ({document['prices_as_of']}), in roubles for the unit that it names.",
        "A budget reserves them; the ledger settles what Kie reports.",
    ]
    for status, title, meaning in SECTIONS:
        lines += ["", f"## {title} ({len(groups[status])})", "", meaning, *_tables(groups[status])]
    return "\n".join(lines) + "\n"


def _tables(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    labels: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        labels.setdefault(row["category"], []).append(row)
    for label in sorted(labels):
        yield from ("", f"### {label} ({len(labels[label])})", "")
        yield "| id | Kie's model | fixed by the id | RUB | remark |"
        yield "|---|---|---|---|---|"
        yield from map(_line, sorted(labels[label], key=lambda row: row["model_id"]))


def _line(row: Mapping[str, Any]) -> str:
    fixed = ", ".join(f"`{name}={_value(value)}`" for name, value in row["fixed_input"].items())
    unit = f" / {row['unit']}" if row.get("unit") else ""
    remark = "; ".join(filter(None, (row.get("note"), row.get("caution"))))
    served = f"`{row['wire_model']}`" if row["wire_model"] else ""
    cells = (f"`{row['model_id']}`", served, fixed, f"{row['rub_per_use']:.2f}{unit}", remark)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
