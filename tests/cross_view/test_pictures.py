"""The photographs of a pair as networks take them: cut, resized by area, polar; and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from vg_core.cross_view.pictures import area_resize, read_aerial, read_ground
from vg_core.datasets.images import UnreadableImage


def saved(path, pixels) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_each_pixel_is_the_mean_of_what_it_covers():
    image = np.array([[0, 111, 222, 77, 188], [43, 154, 9, 120, 231], [86, 197, 52, 163, 18]], np.uint8)
    found = area_resize(torch.tensor(image).expand(1, 3, -1, -1), (2, 3))
    assert found[0, 0].tolist() == [[59, 134, 158], [116, 89, 113]]  # those of OpenCV's INTER_AREA


def test_halving_takes_the_means_of_four():
    pixels = torch.tensor(noise(8, 12)).permute(2, 0, 1)[None]
    quads = pixels.int().unfold(2, 2, 2).unfold(3, 2, 2).sum((4, 5))
    assert torch.equal(area_resize(pixels, (4, 6)), ((quads + 2) // 4).to(torch.uint8))


def test_a_whole_sphere_is_cut_to_its_middle_half(tmp_path):
    pixels = np.repeat(noise(832, 1), 1664, axis=1)
    path = saved(tmp_path / "sphere.png", pixels)
    assert np.array_equal(read_ground(path), pixels[208:624])
    middle = torch.tensor(pixels[208:624]).permute(2, 0, 1)[None]
    assert np.array_equal(read_ground(path, (112, 616)), area_resize(middle, (112, 616))[0].permute(1, 2, 0))


def test_a_panorama_that_is_cut_already_stays_whole(tmp_path):
    path = saved(tmp_path / "cut.png", noise(40, 220))
    assert np.array_equal(read_ground(path), noise(40, 220))
    assert read_ground(path, (20, 110)).shape == (20, 110, 3)


def test_a_photograph_is_no_panorama(tmp_path):
    with pytest.raises(UnreadableImage, match=r"photo\.png: 64 pixels wide and 48 high, which is no panorama"):
        read_ground(saved(tmp_path / "photo.png", noise(48, 64)))


def test_aerial_images_come_plain_or_polar(tmp_path):
    path = saved(tmp_path / "tile.png", noise(75, 75))
    assert np.array_equal(read_aerial(path), noise(75, 75))
    assert read_aerial(path, (25, 25)).shape == (25, 25, 3)
    around, stretched = (read_aerial(path, (12, 66), as_polar=True, stretch=flag) for flag in (False, True))
    assert around.shape == (12, 66, 3) and (around[-1] == around[-1, 0]).all()
    assert stretched.min() == 0 and stretched.max() == 255 and around.max() < 255


def test_an_aerial_image_that_is_not_square_is_a_sentence(tmp_path):
    with pytest.raises(UnreadableImage, match=r"wide\.png: 80x60 pixels are no square around one spot"):
        read_aerial(saved(tmp_path / "wide.png", noise(60, 80)))
