"""Ray casting: which wall each column of the image meets, and the texel that each pixel sees."""

import numpy as np

from .camera import Camera
from .frame import GROUND, Frame
from .scene import Scene

DEPTHS = 6  # walls that a column can see one above the other
REACH = 400.0  # metres; boxes farther ahead are not drawn
WEDGE = 80  # columns cast together, against the boxes that they can meet


def trace(frame: Frame) -> None:
    """Fill depth, facing and texel of every pixel, nearest wall first; holes in a texture show what is behind."""
    scene, camera = frame.scene, frame.camera
    faces, tops, reach = cast_columns(scene, camera)
    surfaces = scene.surfaces(camera.x, camera.y)
    scene.atlas.require(np.append(surfaces[faces[faces < scene.walls_count]], scene.grounds + np.arange(9)))
    scale = np.float32(faces.shape[1] / (2 * reach))
    column = ((frame.side + np.float32(reach)) * scale).astype(np.intp)
    with np.errstate(divide="ignore"):
        ground = np.where(frame.rise < 0, np.float32(-camera.z) / frame.rise, np.inf)  # depth of the ground
    walls = scene.walls
    place = np.float32([camera.x, camera.y])
    distance = walls["plane"] - np.where(walls["axis"], place[1], place[0])
    distance[-1] = np.inf
    begin = walls["sign"] * (np.where(walls["axis"], place[0], place[1]) - walls["start"])
    active = np.arange(frame.side.size)
    rays = column, frame.dx, frame.dy, frame.rise, ground
    for level in range(len(faces)):
        at, dx, dy, rise, bottom = (a if level == 0 else a.take(active) for a in rays)
        face = faces[level].take(at)
        axis = walls["axis"].take(face)
        towards = np.abs(np.where(axis, dy, dx))
        depth = np.abs(distance.take(face)) / towards
        near = bottom < depth
        seen = ~near & (rise < tops[level].take(at))
        pick = np.flatnonzero(seen)
        face, depth = face.take(pick), depth.take(pick)
        along = np.where(axis.take(pick), dx.take(pick), dy.take(pick))
        u = begin.take(face) + walls["sign"].take(face) * depth * along
        v = np.float32(camera.z) + depth * rise.take(pick)
        texel = scene.atlas.read(
            surfaces.take(face), u, v, depth * np.float32(1 / camera.focal), 1 / towards.take(pick)
        )
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
    across = depth * np.float32(1 / camera.focal)
    texel = scene.ground(x, y, across * np.sqrt(depth * np.float32(1 / camera.z)))  # longer than wide by that, squared
    _store(frame, pixels, depth, GROUND, texel)


def cast_columns(scene: Scene, camera: Camera) -> tuple[np.ndarray, np.ndarray, float]:
    """(K, M) walls met by M columns, each taller to the eye than those before, and (K, M) slopes of their tops.

    Columns divide sideways slopes from -reach to +reach evenly; reach is the third value.
    """
    side, _ = camera.rays()
    reach = float(np.abs(side[[0, -1]]).max()) * 1.0001
    count = 2 * camera.width
    slope = ((np.arange(count) + 0.5) * (2 * reach / count) - reach).astype(np.float32)
    faces = np.full((DEPTHS, count), scene.walls_count, np.int32)
    tops = np.full((DEPTHS, count), -np.inf, np.float32)
    rect, low, high = _silhouettes(scene, camera)
    for start in range(0, count, WEDGE):
        columns = slice(start, start + WEDGE)
        index = np.flatnonzero((low <= slope[columns][-1]) & (high >= slope[columns][0]))
        _cast(scene, camera, slope[columns], index, rect[index], faces[:, columns], tops[:, columns])
    return faces, tops, reach


def _silhouettes(scene: Scene, camera: Camera):
    """Boxes relative to the camera (B, 4), and the sideways slopes (B,) between which each is seen."""
    rect = (scene.district.boxes.rect - np.array([camera.x, camera.y, camera.x, camera.y])).astype(np.float32)
    (fx, fy), (rx, ry) = camera.axes
    x, y = rect[:, [0, 2, 0, 2]], rect[:, [1, 1, 3, 3]]
    ahead, right = x * np.float32(fx) + y * np.float32(fy), x * np.float32(rx) + y * np.float32(ry)
    slope = right / np.maximum(ahead, np.float32(0.01))
    low, high = slope.min(1) - np.float32(0.01), slope.max(1) + np.float32(0.01)
    beside = (ahead < 0.01).any(1)
    low[beside], high[beside] = -np.inf, np.inf
    low[(ahead.max(1) < 0) | (ahead.min(1) > REACH)] = np.inf  # never seen
    return rect, low, high


def _cast(scene: Scene, camera: Camera, slope, index, rect, faces, tops) -> None:
    """Fill ``faces`` and ``tops`` (K, m) of some columns from the boxes ``index`` with corners ``rect`` (b, 4)."""
    (fx, fy), (rx, ry) = camera.axes
    with np.errstate(divide="ignore", invalid="ignore"):
        ix, iy = (1 / (np.float32(f) + slope * np.float32(r)) for f, r in ((fx, rx), (fy, ry)))
        x0, y0, x1, y1 = (rect[:, k, None] * (iy if k % 2 else ix) for k in range(4))  # (b, m) depths of the planes
    near_x, near_y = np.minimum(x0, x1), np.minimum(y0, y1)
    depth = np.maximum(near_x, near_y)
    depth[(depth > np.minimum(np.maximum(x0, x1), np.maximum(y0, y1))) | (depth < 0.05)] = np.inf
    top = (scene.heights[index] - np.float32(camera.z))[:, None] / depth
    top[np.isinf(depth)] = -np.inf
    highest, m = np.full(len(slope), -np.inf, np.float32), np.arange(len(slope))
    for level in range(DEPTHS if len(index) else 0):
        candidates = np.where(top > highest, depth, np.inf)
        b = candidates.argmin(0)
        met = np.isfinite(candidates[b, m])
        if not met.any():
            break
        face = np.where(near_x[b, m] > near_y[b, m], np.where(ix > 0, 0, 1), np.where(iy > 0, 2, 3))
        faces[level, met] = (4 * index[b] + face)[met]
        tops[level, met] = highest[met] = top[b, m][met]
