"""Ray casting: which wall each column of the image meets, and the texel that each pixel sees."""

import numpy as np

from .camera import Camera
from .frame import GROUND, Frame
from .ground import HALF
from .scene import Scene

DEPTHS = 6  # walls that a column can see one above the other
REACH = 400.0  # metres; boxes farther ahead are not drawn


def trace(frame: Frame) -> None:
    """Fill depth, facing and texel of every pixel, nearest wall first; holes in a texture show what is behind."""
    scene, camera = frame.scene, frame.camera
    faces, tops, reach = cast_columns(scene, camera)
    scene.atlas.require(np.append(faces[faces < scene.grounds], np.arange(scene.grounds, scene.grounds + 9)))
    scale = np.float32(faces.shape[1] / (2 * reach))
    column = ((frame.side + np.float32(reach)) * scale).astype(np.int32)
    with np.errstate(divide="ignore"):
        ground = np.where(frame.rise < 0, np.float32(-camera.z) / frame.rise, np.inf)  # depth of the ground
    walls = scene.walls
    place = np.float32([camera.x, camera.y])
    distance = walls["plane"] - np.where(walls["axis"], place[1], place[0])
    distance[-1] = np.inf
    begin = walls["sign"] * (np.where(walls["axis"], place[0], place[1]) - walls["start"])
    active = np.arange(frame.side.size)
    for level in range(len(faces)):
        at = column.take(active)
        face = faces[level].take(at)
        dx, dy, rise = frame.dx.take(active), frame.dy.take(active), frame.rise.take(active)
        axis = walls["axis"].take(face)
        towards = np.abs(np.where(axis, dy, dx))
        depth = np.abs(distance.take(face)) / towards
        near = ground.take(active) < depth
        seen = ~near & (rise < tops[level].take(at))
        pick = np.flatnonzero(seen)
        face, depth = face.take(pick), depth.take(pick)
        along = np.where(axis.take(pick), dx.take(pick), dy.take(pick))
        u = begin.take(face) + walls["sign"].take(face) * depth * along
        v = np.float32(camera.z) + depth * rise.take(pick)
        texel = scene.atlas.read(face, u, v, depth * np.float32(1 / camera.focal), 1 / towards.take(pick))
        solid = texel >> 24 != 0
        pick, face = pick[solid], face[solid]
        _store(frame, active[pick], depth[solid], face & 3, texel[solid])
        _trace_ground(frame, active[near], ground)
        near[pick] = True
        active = active[~near]
        if not active.size:
            return


def _store(frame: Frame, pixels, depth, facing, texel) -> None:
    frame.depth[pixels] = depth
    frame.facing[pixels] = facing
    frame.texel[pixels] = texel


def _trace_ground(frame: Frame, pixels, ground) -> None:
    if not pixels.size:
        return
    scene, camera = frame.scene, frame.camera
    depth = ground.take(pixels)
    x = np.float32(camera.x) + depth * frame.dx.take(pixels)
    y = np.float32(camera.y) + depth * frame.dy.take(pixels)
    i, j = scene.cell(x, 0), scene.cell(y, 1)
    (x_centre, x_kind), (y_centre, y_kind) = scene.nearest
    surface = scene.grounds + 3 * x_kind.take(i) + y_kind.take(j)
    across = depth * np.float32(1 / camera.focal)
    stretch = np.sqrt(depth * np.float32(1 / camera.z))  # a pixel is longer than wide by the square of this
    texel = scene.atlas.read(
        surface, x - x_centre.take(i) + HALF, y - y_centre.take(j) + HALF, across * stretch, np.ones_like(across)
    )
    _store(frame, pixels, depth, GROUND, texel)


def cast_columns(scene: Scene, camera: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """(K, M) surfaces met by M columns, each taller to the eye than those before, and (K, M) slopes of their tops.

    Columns divide sideways slopes from -reach to +reach evenly; reach is the third value.
    """
    side, _ = camera.rays()
    reach = float(np.abs(side[[0, -1]]).max()) * 1.0001
    count = 2 * camera.width
    slope = ((np.arange(count) + 0.5) * (2 * reach / count) - reach).astype(np.float32)
    rect, heights, index = _in_view(scene, camera, reach)
    (fx, fy), (rx, ry) = camera.axes
    with np.errstate(divide="ignore"):
        ix, iy = (1 / (np.float32(f) + slope * np.float32(r)) for f, r in ((fx, rx), (fy, ry)))
    x0, x1 = (rect[:, k, None] * ix for k in (0, 2))  # (B, M) depths of the planes
    y0, y1 = (rect[:, k, None] * iy for k in (1, 3))
    near_x, near_y = np.minimum(x0, x1), np.minimum(y0, y1)
    depth = np.maximum(near_x, near_y)
    depth[(depth > np.minimum(np.maximum(x0, x1), np.maximum(y0, y1))) | (depth < 0.05)] = np.inf
    top = (heights - np.float32(camera.z))[:, None] / depth
    top[np.isinf(depth)] = -np.inf
    faces = np.full((DEPTHS, count), scene.grounds, np.int32)
    tops = np.full((DEPTHS, count), -np.inf, np.float32)
    highest, m = np.full(count, -np.inf, np.float32), np.arange(count)
    for level in range(DEPTHS):
        candidates = np.where(top > highest, depth, np.inf)
        b = candidates.argmin(0)
        met = np.isfinite(candidates[b, m])
        if not met.any():
            break
        face = np.where(near_x[b, m] > near_y[b, m], np.where(ix > 0, 0, 1), np.where(iy > 0, 2, 3))
        faces[level, met] = (4 * index[b] + face)[met]
        tops[level, met] = highest[met] = top[b, m][met]
    return faces, tops, reach


def _in_view(scene: Scene, camera: Camera, reach: float):
    """Boxes in the field of view: (B, 4) corners relative to the camera, heights, numbers."""
    rect = (scene.district.boxes.rect - np.array([camera.x, camera.y, camera.x, camera.y])).astype(np.float32)
    (fx, fy), (rx, ry) = camera.axes
    x, y = rect[:, [0, 2, 0, 2]], rect[:, [1, 1, 3, 3]]
    ahead, right = x * np.float32(fx) + y * np.float32(fy), x * np.float32(rx) + y * np.float32(ry)
    seen = (ahead > 0).any(1) & (right < reach * ahead + 0.1).any(1) & (right > -reach * ahead - 0.1).any(1)
    index = np.flatnonzero(seen & (ahead.min(1) < REACH))
    return rect[index], scene.heights[index], index
