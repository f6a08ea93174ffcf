"""Which fonts a document needs. Every PDF reader has Helvetica, which writes Western European languages.

For anything else a font file is looked for: the one named in `HEAVYLIFT_FONT`, else the usual ones of the system.
The first that has every character is taken, else the one that lacks the fewest. The same text on the same machine
always gets the same font, so documents stay equal byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts")
_FILES = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("Arial Unicode.ttf", "Arial Unicode.ttf"),
    ("DroidSansFallbackFull.ttf", "DroidSansFallbackFull.ttf"),
)


_WIDTHS: dict[str, list[int]] = {name: pdfmetrics.getFont(name).widths for name in ("Helvetica", "Helvetica-Bold")}


@dataclass(frozen=True, slots=True)
class Fonts:
    """The names of a regular and a bold font, as ReportLab knows them, and what they cannot write."""

    regular: str = "Helvetica"
    bold: str = "Helvetica-Bold"
    lacking: int = 0

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """How wide a text is, in points."""
        name = self.bold if bold else self.regular
        if name in _WIDTHS:  # ReportLab measures the same, several times slower, and a table has many cells
            try:
                letters = text.encode("cp1252")
            except UnicodeEncodeError:
                pass
            else:
                table = _WIDTHS[name]
                return sum([table[letter] for letter in letters]) * 0.001 * size
        measured: float = pdfmetrics.stringWidth(text, name, size)
        return measured


def fonts_for(texts: Iterable[str]) -> Fonts:
    """The fonts for a document of these texts."""
    characters: set[str] = set()
    for text in texts:
        if not text.isascii():
            characters.update(text)
    special = {c for c in characters if ord(c) > 126 and not _western(c)}
    if not special:
        return Fonts()
    best = Fonts(lacking=len(special))
    for regular, bold in _candidates():
        found = _load(regular, bold, special)
        if found is not None and found.lacking < best.lacking:
            best = found
        if not best.lacking:
            break
    return best


def _western(character: str) -> bool:
    try:
        character.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _candidates() -> Iterable[tuple[Path, Path]]:
    if said := os.environ.get("HEAVYLIFT_FONT"):
        yield Path(said), Path(said)
    for regular, bold in _FILES:
        for folder in _FOLDERS:
            for found in sorted(Path(folder).rglob(regular)):
                yield found, found.with_name(bold)


def _load(regular: Path, bold: Path, special: set[str]) -> Fonts | None:
    try:
        font = _registered(regular)
        heavy = _registered(bold) if bold.is_file() else font
    except (TTFError, OSError):
        return None
    return Fonts(font.fontName, heavy.fontName, sum(ord(c) not in font.face.charToGlyph for c in special))


def _registered(file: Path) -> Any:
    """The font of a file, read once for each process: ReportLab keeps those it knows."""
    name = f"heavylift:{file}"
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, str(file)))
    return pdfmetrics.getFont(name)
