"""Geometric matches of two photographs: points of a plane, seen by the one and by the other."""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vg_core.datasets.images import decode

SIDE = 640  # pixels of the longer side in which points are looked for
POINTS = 500  # of a photograph, the strongest
CONTRAST = 0.02  # half of what OpenCV takes: walls in dim light have points, too
RATIO = 0.8  # the nearest descriptor must be nearer than so much of the second (Lowe, IJCV 2004)
PIXELS = 6.0  # that a match may lie beside where the affine map puts it
DRAWN, CONFIDENCE = 2000, 0.999  # samples of RANSAC at most, and how surely it has found the best
FEWEST = 6  # matches; three fix a map, whatever they show


class Features(NamedTuple):
    """Points (N, 2) of a photograph in pixels, their descriptors (N, 128), and its (width, height)."""

    points: np.ndarray
    descriptors: np.ndarray
    size: np.ndarray


def features(path, mirrored: bool = False) -> Features:
    """SIFT points of a photograph, or of its mirror image, with RootSIFT descriptors (Arandjelović and Zisserman, CVPR
    2012). Raises UnreadableImage.
    """
    grey = Image.fromarray(decode(path, about=SIDE)).convert("L")
    grey.thumbnail((SIDE, SIDE))
    pixels = np.asarray(grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else grey)
    found, descriptors = cv2.SIFT_create(POINTS, contrastThreshold=CONTRAST).detectAndCompute(pixels, None)
    points = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    sift = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
    return Features(points, np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1e-9)), np.array(grey.size))


def geometric_matches(one: Features, other: Features) -> np.ndarray:
    """(M, 4) positions x, y in one photograph and x, y in the other, as shares of their widths and heights, of the
    inliers: matches that agree on one affine map (as in Philbin et al., CVPR 2007).

    Matches are mutual nearest neighbours that pass the ratio test; RANSAC chooses among them. The same two photographs
    give the same inliers: OpenCV starts its random numbers at the same seed for each pair.
    """
    none = np.zeros((0, 4))
    if min(len(one.points), len(other.points)) < 2:
        return none
    alike = one.descriptors @ other.descriptors.T  # (N, M) cosines
    best = alike.argmax(axis=1)  # (N,)
    second, first = np.sqrt(np.maximum(2 - 2 * np.partition(alike, -2, axis=1)[:, -2:], 0)).T  # (N,) distances
    good = (first < RATIO * second) & (alike.argmax(axis=0)[best] == np.arange(len(best)))  # (N,)
    pairs = np.hstack([one.points[good], other.points[best[good]]])  # (G, 4)
    for side in (np.s_[:2], np.s_[2:]):  # a point that has several directions is found as often, and counts once
        pairs = pairs[np.unique(pairs[:, side], axis=0, return_index=True)[1]]
    if len(pairs) < FEWEST:
        return none
    here, there = map(np.ascontiguousarray, np.split(pairs, 2, axis=1))
    _, inlying = cv2.estimateAffine2D(here, there, None, cv2.RANSAC, PIXELS, DRAWN, CONFIDENCE)
    return (pairs / np.concatenate([one.size, other.size]))[inlying.ravel() > 0]
