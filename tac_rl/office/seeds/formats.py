"""Office documents as bytes, the same bytes each time: no clock, no random identifiers, fixed dates inside."""

import csv
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

Cell = str | int | float | date | None
Rows = Sequence[Sequence[Cell]]
Block = tuple[str, Any]
"""(`heading`, text), (`text`, text), (`item`, text) or (`table`, rows)."""

_STAMP = (2026, 2, 27, 12, 0, 0)
_WRITTEN = datetime(2026, 2, 27, 12, 0)


def to_csv(rows: Rows) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def to_xlsx(sheets: Mapping[str, Rows]) -> bytes:
    """A workbook; the first row of each sheet is its head. Text that begins with = is a formula."""
    import openpyxl
    from openpyxl.styles import Font

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for column, cells in zip("ABCDEFGHIJKLMNOP", zip(*rows, strict=False), strict=False):
            sheet.column_dimensions[column].width = min(
                48, 2 + max(len(str(c)) for c in cells if c is not None)
            )
        sheet.freeze_panes = "A2"
    workbook.properties.creator = "The Agent Company"
    workbook.properties.created = _WRITTEN
    out = io.BytesIO()
    workbook.save(out)
    return _repacked(out.getvalue())


def to_docx(title: str, author: str, blocks: Sequence[Block]) -> bytes:
    import docx

    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author = title, author
    properties.created = properties.modified = _WRITTEN
    document.add_heading(title, 0)
    for kind, content in blocks:
        if kind == "heading":
            document.add_heading(content, 1)
        elif kind == "item":
            document.add_paragraph(content, style="List Bullet")
        elif kind == "table":
            table = document.add_table(rows=0, cols=len(content[0]), style="Table Grid")
            for row in content:
                for cell, value in zip(table.add_row().cells, row, strict=True):
                    cell.text = _shown(value)
        else:
            document.add_paragraph(content)
    out = io.BytesIO()
    document.save(out)
    return _repacked(out.getvalue())


def to_odt(title: str, blocks: Sequence[Block]) -> bytes:
    from odf.element import Element

    # The library names in a document every namespace that the process has met so far.
    known = dict(Element.namespaces)
    Element.namespaces.clear()
    try:
        return _odt(title, blocks)
    finally:
        Element.namespaces.update(known)


def _odt(title: str, blocks: Sequence[Block]) -> bytes:
    from odf.opendocument import OpenDocumentText
    from odf.text import H, List, ListItem, P

    document = OpenDocumentText()
    document.text.addElement(H(outlinelevel=1, text=title))
    for kind, content in blocks:
        if kind == "heading":
            document.text.addElement(H(outlinelevel=2, text=content))
        elif kind == "item":
            item, points = ListItem(), List()
            item.addElement(P(text=content))
            points.addElement(item)
            document.text.addElement(points)
        elif kind == "table":
            for row in content:
                document.text.addElement(P(text=" | ".join(_shown(value) for value in row)))
        else:
            document.text.addElement(P(text=content))
    out = io.BytesIO()
    document.write(out)
    return _repacked(out.getvalue())


def to_pdf(title: str, blocks: Sequence[Block], *, on: date) -> bytes:
    """Pages of A4 with the fonts that every reader has."""
    from fpdf import FPDF

    page = FPDF()
    page.set_creation_date(datetime.combine(on, time(9), UTC))
    page.set_title(title)
    page.add_page()
    page.set_font("helvetica", "B", 18)
    page.multi_cell(0, 10, _latin(title), new_x="LMARGIN", new_y="NEXT")
    for kind, content in blocks:
        page.set_font("helvetica", "B" if kind == "heading" else "", 13 if kind == "heading" else 11)
        if kind == "table":
            with page.table(text_align="LEFT") as table:
                for row in content:
                    table.row([_latin(_shown(value)) for value in row])
        else:
            text = f"- {content}" if kind == "item" else content
            page.multi_cell(0, 8 if kind == "heading" else 6, _latin(text), new_x="LMARGIN", new_y="NEXT")
        page.ln(2)
    return bytes(page.output())


def to_markdown(title: str, blocks: Sequence[Block]) -> bytes:
    lines = [f"# {title}", ""]
    for kind, content in blocks:
        if kind == "table":
            head, *rest = content
            lines += [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rest), ""]
        elif kind == "item":
            lines.append(f"* {content}")
        else:
            lines += ["", f"## {content}" if kind == "heading" else content, ""]
    return (re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n").encode()


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(_shown(cell) for cell in cells) + " |"


def _shown(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _latin(text: str) -> str:
    return (
        text.replace("“", '"')
        .replace("”", '"')
        .replace("…", "...")
        .encode("latin-1", "replace")
        .decode("latin-1")
    )


def _repacked(archive: bytes) -> bytes:
    """The same zip file with one date for all its members, inside and outside."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == "docProps/core.xml":
                stamp = _WRITTEN.isoformat().encode() + b"Z"
                content = re.sub(rb"(<dcterms:(created|modified)[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            info = zipfile.ZipInfo(member.filename, _STAMP)
            info.compress_type = member.compress_type
            info.external_attr = 0o644 << 16
            new.writestr(info, content, compress_type=member.compress_type)
    return out.getvalue()
