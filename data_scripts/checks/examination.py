"""All checks of a dataset, one after the other."""

import math

from .files import check_bytes, check_copies, check_layout
from .names import check_degrees, check_headings, check_names, check_times, check_zones
from .pictures import check_pictures
from .places import check_panoramas, check_positives, check_splits, check_tracks
from .survey import SEVERITIES, Finding, Survey, survey

ALWAYS = (
    check_layout,
    check_bytes,
    check_names,
    check_positives,
    check_panoramas,
    check_headings,
    check_times,
    check_copies,
)
ON_EARTH = check_zones, check_degrees, check_tracks, check_splits


def examine(dataset: str, radius: float = 25.0, deep: bool = False) -> tuple[Survey, list[Finding]]:
    """(survey of a dataset, findings, serious ones first); ``deep`` decodes every photograph."""
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"radius={radius:g} is no distance; give metres, such as 25")
    found = survey(dataset, radius)
    checks = *ALWAYS, *(() if found.made_up else ON_EARTH), *((check_pictures,) if deep else ())
    findings = [one for check in checks for one in check(found)]
    return found, sorted(findings, key=lambda one: SEVERITIES.index(one.severity))
