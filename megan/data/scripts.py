"""The scripts and characters of the glyphs: characters that DejaVu Sans draws well.

The table has code points, because letters of right-to-left scripts make source code unreadable.
Accented letters, digits and ligatures are left out.
"""

from dataclasses import dataclass

SIZE = 28  # pixels of a drawing
DRAWERS = 20  # of a character, as in Omniglot


@dataclass(frozen=True)
class Script:
    part: str  # "background" (meta-training and validation) or "evaluation" (meta-test), as in Omniglot
    candidates: str  # code points in hexadecimal, and ranges of them
    near_duplicates: str  # candidates that `megan.data.glyphs.near_duplicates` finds; left out

    @property
    def characters(self) -> list[str]:
        removed = set(expand(self.near_duplicates))
        return [character for character in expand(self.candidates) if character not in removed]


def expand(points: str) -> list[str]:
    """The characters of `"41-43 61"`: A, B, C, a."""
    result = []
    for item in points.split():
        first, _, last = item.partition("-")
        result += [chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)]
    return result


# The order matters: of two similar characters the later one is removed. Scripts with
# distinct letters come first and keep them. The three Georgian scripts are on
# the same side of the split, and so are Latin, Lisu and the phonetic letters.
SCRIPTS = {
    "Ogham": Script(
        part="evaluation",
        candidates="1681-169A",
        near_duplicates="1685 168A 168F 1693 1699",
    ),
    "Hebrew": Script(
        part="evaluation",
        candidates="5D0-5EA",
        near_duplicates="5DF",
    ),
    "NKo": Script(
        part="background",
        candidates="7CA-7E7",
        near_duplicates="7CA 7DB 7E0",
    ),
    "Lao": Script(
        part="evaluation",
        candidates=(
            "E81-E82 E84 E87-E88 E8A E8D E94-E97 E99-E9F EA1-EA3 EA5 EA7 EAA-EAB EAD-EB0 EB2 EBD EC0-EC4 EC6 EDC-EDD"
        ),
        near_duplicates="E9F",
    ),
    "Arabic": Script(
        part="evaluation",
        candidates="621-63A 641-64A 679 67E 686 688 691 698 6A9 6AF 6BA 6BE",
        near_duplicates="622-623 625 627 62B 67E 6AF",
    ),
    "Mkhedruli": Script(
        part="background",
        candidates="10D0-10F6",
        near_duplicates="10E8 10EE 10F3",
    ),
    "Nuskhuri": Script(
        part="background",
        candidates="2D00-2D25",
        near_duplicates="",
    ),
    "Asomtavruli": Script(
        part="background",
        candidates="10A0-10C5",
        near_duplicates="10A4 10B1",
    ),
    "Armenian": Script(
        part="background",
        candidates="531-556 561-586",
        near_duplicates="548 54D 54F 555 561-563 565 567-568 56A-56B 570 578 57D 582 584-585",
    ),
    "Tifinagh": Script(
        part="evaluation",
        candidates="2D30-2D65",
        near_duplicates="2D30 2D40 2D4F 2D54 2D5C 2D60",
    ),
    "Canadian_Syllabics": Script(
        part="background",
        candidates=(
            "1401 1403 1405 140A 142F 1431 1433 1438 144C 144E 1450 1455 146B 146D 146F 1472 1489 "
            "148B 148D 1490 14A3 14A5 14A7 14AA 14C0 14C2 14C4 14C7 14D3 14D5 14D7 14DA 14ED 14EF "
            "14F1 14F4 1510-1511 1513 1515 1526 1528 152A 152D 1542 1546 1548 154B 1553 1555 1557 "
            "1559 1574-1575 15A0 15A2 15A4 15A8 15AA 15AC"
        ),
        near_duplicates="1401 1403 142F 1431 144C 144E 1450 146F 1472 148D 14AA 14F1 14F4",
    ),
    "Old_Italic": Script(
        part="evaluation",
        candidates="10300-1031E",
        near_duplicates="10305-10306 10308-10309 1030F-10310 10314 10318 1031C",
    ),
    "Lisu": Script(
        part="background",
        candidates="A4D0-A4F7",
        near_duplicates="A4D0-A4D4 A4DD A4E1 A4E5-A4E6 A4E8-A4E9 A4EB A4ED-A4EE A4F0-A4F6",
    ),
    "Greek": Script(
        part="evaluation",
        candidates="391-3A1 3A3-3A9 3B1-3C9",
        near_duplicates="391-397 399-39D 39F 3A1 3A3-3A7 3B3 3B8-3B9 3BF-3C1 3C7-3C8",
    ),
    "Cyrillic": Script(
        part="background",
        candidates="402 404 409-40B 40F-44F 462 466 46A 46E 470 472 474 490 496 4A8 4BA 4D8 4E0",
        near_duplicates="410 412-413 415 418 41A 41C-422 424-425 427 429 42C 431-434 436-44F 472 496 4D8",
    ),
    "Latin": Script(
        part="background",
        candidates="41-5A 61-7A C6 D0 D8 DE-DF E6 F0 F8 FE 14B 153",
        near_duplicates="41-50 52-5A 61 63-65 67-68 6C 6E-70 73 75-7A F0 F8 FE",
    ),
    "Phonetic": Script(
        part="background",
        candidates="250-2AF",
        near_duplicates=(
            "250-252 254 259 25B-25C 261-262 265 269-26A 26D 26F-270 273-275 27A 280 283 288 "
            "28B-28C 28F 298-299 29C 29F"
        ),
    ),
}
