"""The paper as PDF from what the notebooks exported: ``python reports/build.py --profile smoke | full``.

``full`` writes reports/report.pdf from reports/assets; ``smoke`` writes reports/draft.pdf from the cache. The same
results give the same bytes. Nothing is computed here and nothing typed by hand: what is missing stops the build.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import typst

from vg_core.system import own_files, paths
from vg_core.system.files import replacing

if __package__:
    from .summary import next_steps, summary
else:  # run as a script: its own folder is on the path
    from summary import next_steps, summary

SOURCE = paths.REPORTS / "report.typ"
REQUIRED = "10_baseline"  # the chapter that the paper cannot do without; others appear when they are there
CHAPTER = re.compile(r"\d\d_[a-z0-9_]+")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--profile", default="smoke", choices=("smoke", "full"), help="whose results to print")
    return p


def main(arguments: list[str] | None = None) -> int:
    profile = parser().parse_args(arguments).profile
    try:
        pdf = build(profile)
    except (ValueError, OSError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return 1
    print(f"wrote {pdf} ({pdf.stat().st_size / 1e6:.1f} MB)")
    print(f"\n{summary(paths.assets_folder(profile))}\n\n{next_steps(pdf, profile)}")
    return 0


def build(profile: str) -> Path:
    """Path of the PDF made from the results of a profile. Raises ValueError or FileNotFoundError in a sentence."""
    pdf = compile_paper(find_results(paths.assets_folder(profile), profile))
    target = paths.REPORTS / ("report.pdf" if profile == "full" else "draft.pdf")
    with replacing(target) as unfinished:
        unfinished.write_bytes(pdf)
    return target


def find_results(folder: Path, profile: str) -> dict:
    """What the paper may draw on: {profile, folder, chapters: {slug: [file, …]}, sections: [slug, …]}."""
    found = sorted(f for f in folder.glob("[0-9]*") if f.is_dir() and CHAPTER.fullmatch(f.name))
    chapters = {f.name: sorted(file.name for file in f.iterdir()) for f in found}
    if REQUIRED not in chapters:
        command = f"python reports/run_notebooks.py --profile {profile}"
        raise FileNotFoundError(f"{folder} holds no results of {REQUIRED}; make them with: {command}")
    check_same_city(folder, chapters, profile)
    sections = [slug for slug in chapters if (paths.REPORTS / "sections" / f"{slug}.typ").exists()]
    for slug in chapters.keys() - set(sections):
        print(f"{slug} has results but no reports/sections/{slug}.typ: it is not in the report")
    return {"profile": profile, "folder": str(folder), "chapters": chapters, "sections": sections}


def check_same_city(folder: Path, chapters: dict[str, list[str]], profile: str) -> None:
    """ValueError when the dataset chapter describes another dataset than the baselines were measured on, or when a file
    that a chapter exported is damaged or missing.
    """
    datasets = {}
    for slug in chapters:
        remedy = f"run {slug} again: python reports/run_notebooks.py --profile {profile} {slug}"
        own_files.require_folder(folder / slug, remedy)
        datasets[slug] = ", ".join(own_files.read(folder / slug / "origin.json", remedy)["datasets"])
    described, measured = datasets.get("00_dataset", datasets[REQUIRED]), datasets[REQUIRED]
    if described != measured:
        raise ValueError(
            f"00_dataset describes {described}, but {REQUIRED} was run on {measured}: run both on one dataset"
        )


def compile_paper(manifest: dict, form: str = "pdf", **options) -> bytes | list[bytes]:
    """The compiled paper, ``form`` pdf or png; ValueError with a sentence about what stopped it."""
    folder = Path(manifest["folder"]).resolve()
    root = Path(os.path.commonpath([paths.ROOT, folder]))  # Typst reads nothing outside
    manifest = manifest | {"folder": f"/{folder.relative_to(root).as_posix()}"}
    try:
        return typst.compile(
            str(SOURCE),
            root=str(root),
            format=form,
            sys_inputs={"manifest": json.dumps(manifest)},
            ignore_system_fonts=True,  # the fonts that come with Typst are the same everywhere
            **options,
        )
    except typst.TypstError as error:
        raise ValueError(sentence(error)) from None


def sentence(error: typst.TypstError) -> str:
    """What a Typst error says: the template's own sentence, or the full diagnosis of a fault in the template."""
    own = re.match(r'panicked with: "?(\d\d_.+?)"?$', error.message, flags=re.MULTILINE)
    return own[1] if own else f"the template does not compile: {error.diagnostic.strip()}"


if __name__ == "__main__":
    sys.exit(main())
