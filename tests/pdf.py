"""What a built report shows: ink in its margins, and its text."""

import io
import re

import numpy as np
from PIL import Image
from pypdf import PdfReader

PPI = 40  # enough to see where ink is
WHITE = 250


def crowded(pages: list[bytes]) -> list[int]:
    """Numbers of the pages, PNG in US letter at 40 ppi, with ink beside the text or between it and the page number."""
    found = []
    for number, page in enumerate(pages, start=1):
        paper = np.asarray(Image.open(io.BytesIO(page)).convert("L"))  # (height, width)
        side, below, footer = (int(inches * PPI) for inches in (0.9, 10.07, 10.22))
        if min(paper[:, :side].min(), paper[:, -side:].min(), paper[below:footer].min()) < WHITE:
            found.append(number)
    return found


def text(pdf: bytes, pages: int | None = None) -> str:
    """All words of the PDF, or of its first pages, in one line; those that end a line are put together again."""
    lines = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages[:pages])
    return re.sub(r"\s+", " ", lines.replace("\u00ad\n", ""))
