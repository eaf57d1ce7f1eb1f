"""Texts of strangers (names of files, datasets and variants) made fit to be shown and to be opened."""

import re
from collections.abc import Callable

import pandas as pd
from pandas.api.types import is_numeric_dtype

# control characters, ends of lines, marks that turn the direction of writing, halves of characters, no characters
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
# where a spreadsheet would begin to calculate, in a cell or behind a semicolon, which parts cells in half of the world
FORMULA = re.compile(r"(^|;)(?=\s*([=＝＋－＠]|[+-](?!\d+(\.\d*)?$)|@(?!\d+(\.\d*)?@)))")


def printable(text) -> str:
    """The text in one line that is safe on terminals, pages and figures: each character that is not is a "\ufffd".

    That takes in the bytes of a file name that are no UTF-8, which Python holds as halves of characters.
    """
    return UNFIT.sub("\ufffd", str(text))


def count(number: int, noun: str) -> str:
    """'1 seed', '6,816 queries'."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def spoken(seconds: float) -> str:
    """'45 s', '12 min', '3 h 20 min'."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def safe_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a spreadsheet may open it: a text that would be a formula begins with "'", and all are printable.

    Names as the field has them, "@" and a digit, stay as they are. Source of the characters: OWASP, "CSV Injection".
    """
    return each_text(table, lambda text: FORMULA.sub(r"\1'", printable(text)))


def each_text(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with its texts changed, those of its columns' names too; numbers and whatever else stay."""

    def changed(value):
        return change(value) if isinstance(value, str) else value

    result = table.rename(columns=changed)
    for place in range(result.shape[1]):  # names may occur twice
        if not is_numeric_dtype(result.iloc[:, place]):
            result.isetitem(place, result.iloc[:, place].map(changed))
    return result
