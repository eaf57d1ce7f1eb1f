"""OriCNN: padding, scales and norms as published, orientation maps, and what they do for a panorama that is turned."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from vg_core.cross_view.branches import signed
from vg_core.cross_view.oricnn import Encoder, SameConvolution, oricnn
from vg_core.cross_view.orientation import aerial_map, any_heading, any_turn, cropped, ground_map, shifted, turned

SIZES = {"aerial": (64, 64), "ground": (32, 176)}
NARROW = (4, 4, 6, 6, 6)


def some_images(height, width, count=2):
    return torch.randint(256, (count, 3, height, width), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def narrow(**options):
    return oricnn(SIZES, channels=NARROW, **options)


@pytest.mark.parametrize("size", [2, 4, 5, 7, 39, 77])
def test_convolutions_are_padded_as_in_tensorflow(size):
    """One pixel before, and behind what the last window lacks."""
    convolution, image = SameConvolution(1, 1), torch.arange(1.0, size + 1).repeat(size, 1)[None, None]
    cells = -(-size // 2)
    for tap in range(4):
        nn.init.zeros_(convolution.weight)
        convolution.weight.data[0, 0, 1, tap] = 1
        pixels = [2 * cell - 1 + tap for cell in range(cells)]
        expected = [pixel + 1 if 0 <= pixel < size else 0 for pixel in pixels]
        assert convolution(image)[0, 0].tolist() == [expected] * cells


class Ramp(nn.Module):
    """0, 1, 2, … from the left to the right, whatever comes."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, _x):
        return torch.arange(float(self.width)).expand(1, 1, 1, self.width)


def test_the_last_three_maps_are_sampled_where_the_cells_of_the_last_lie():
    encoder = Encoder((3, 1, 1, 1), batch_statistics=False)
    for layer, width in enumerate((7, 4, 2)):
        encoder[layer] = Ramp(width)
    assert encoder(torch.zeros(1))[0, :, 0].tolist() == [[1.25, 4.75], [0.5, 2.5], [0, 1]]


@pytest.mark.parametrize(("size", "cells"), [((224, 1232), (2, 10)), ((512, 512), (4, 4))])
def test_maps_and_descriptors_are_as_wide_as_published(size, cells):
    with torch.device("meta"):
        encoder = Encoder((5, 64, 128, 256, 512, 512, 512, 512), batch_statistics=False)
        assert encoder(torch.empty(1, 5, *size)).shape == (1, 1536, *cells)


def test_the_encoder_is_as_published():
    model = narrow()
    encoder, norms = model.ground.encoder, [one for one in model.modules() if isinstance(one, nn.BatchNorm2d)]
    assert [type(layer) for layer in encoder[1]] == [nn.LeakyReLU, SameConvolution, nn.BatchNorm2d]
    assert type(encoder[0]) is SameConvolution and encoder[0].in_channels == 5
    assert encoder[1][0].negative_slope == 0.2 and encoder[1][2].eps == 1e-5 and len(norms) == 8
    wide = SameConvolution(64, 64).weight
    assert wide.std().item() == pytest.approx(0.02, rel=0.02) and (encoder[0].bias == 0).all()
    assert 0.95 < torch.cat([norm.weight for norm in norms]).mean() < 1.05 and model.dim == 18
    assert not model.ground.pooling.p.requires_grad and model.ground.pooling.p.item() == 3
    pixel = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(signed(pixel).flatten(), torch.tensor([-0.6, -1, 1]))


def test_a_descriptor_depends_on_the_batch_only_as_published():
    images = some_images(*SIZES["ground"], count=3)
    for published in (False, True):
        model = narrow(batch_statistics=published, augment=False)
        model(images, "ground")  # in training: the running statistics move
        model.eval()
        alone, among = model(images[:1], "ground"), model(images, "ground")[:1]
        assert torch.allclose(alone, among, atol=1e-5) != published


def test_ground_maps_are_those_of_the_released_file():
    azimuth, altitude = ground_map(224, 1232).double()
    assert azimuth[0, [0, -1]].tolist() == [-1, 1] and azimuth.diff(dim=0).abs().max() == 0
    torch.testing.assert_close(azimuth[0], torch.linspace(-1, 1, 1232).double())
    assert (altitude[[0, -1], 7] * torch.pi).tolist() == pytest.approx([-0.569111, 0.569111], abs=1e-6)
    assert altitude.diff(dim=0).mul(torch.pi).mean().item() == pytest.approx(2 * torch.pi / 1231)
    assert altitude.diff(dim=1).abs().max() == 0


def test_aerial_maps_agree_with_ground_maps():
    azimuth, distance = aerial_map(9, 9)
    north, east, west, south = azimuth[0, 4], azimuth[4, 8], azimuth[4, 0], azimuth[8, 4]
    assert [north, east, west, south.abs()] == [0, 0.5, -0.5, 1]
    columns = ground_map(3, 9)[0][0]  # the centre looks north, what is right of it east of north
    assert columns[[4, 6, 2, 8]].tolist() == [north, east, west, south.abs()]
    assert distance[4, 4] == -1 and distance.max() == 1
    assert (distance[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).all()
    assert aerial_map(512, 512)[1].min() == pytest.approx(-1, abs=0.01)


def drawn_from(maps):
    """Images whose first channels show their own maps, so that it can be seen whether both move together."""
    levels = torch.cat([(maps + 1) / 2, maps[:, :1] * 0], dim=1)
    return (255 * levels).round().to(torch.uint8)


def test_panoramas_move_to_the_right_around_the_circle():
    strip = torch.arange(5).expand(2, 1, 1, 5)
    assert shifted(strip, torch.tensor([1, -2]))[:, 0, 0].tolist() == [[4, 0, 1, 2, 3], [2, 3, 4, 0, 1]]


def test_maps_of_panoramas_move_with_them():
    maps = ground_map(4, 16).expand(50, -1, -1, -1)
    torch.manual_seed(0)
    images, moved = any_heading(drawn_from(maps), maps)
    assert torch.equal(images, drawn_from(moved))
    assert len({tuple(row.tolist()) for row in moved[:, 0, 0]}) > 10
    torch.manual_seed(0)
    assert torch.equal(any_heading(drawn_from(maps), maps)[0], images)


def test_tiles_turn_to_the_left():
    tile = torch.tensor([[1, 2], [3, 4]]).expand(4, 1, 2, 2)
    expected = [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert turned(tile, torch.arange(4))[:, 0].tolist() == expected
    with pytest.raises(ValueError, match="of 2 x 3 pixels cannot be turned: give square ones"):
        turned(torch.zeros(1, 1, 2, 3), torch.tensor([1]))


def test_maps_of_tiles_turn_and_shrink_with_them():
    maps = aerial_map(33, 33).expand(400, -1, -1, -1)
    torch.manual_seed(0)
    images, moved = any_turn(drawn_from(maps), maps)
    whole = moved[:, 1].amax((1, 2)) > 0.9999
    assert 0.6 < whole.float().mean() < 0.76  # as published, 31.6 % are cropped
    assert torch.equal(images[whole], drawn_from(moved[whole]))
    assert sorted({round(value, 3) for value in moved[:, 0, 3, 16].tolist()}) == [-0.5, 0, 0.5, 1]  # all four turns
    away = (drawn_from(moved).int() - images.int()).abs()  # of those cropped: what is interpolated
    seam, centre = moved[:, :1].abs() > 0.9, moved[:, 1:] < -0.5  # azimuths jump and whirl there
    assert away.masked_fill(seam | centre, 0).max() <= 6


def test_a_crop_is_the_middle():
    maps = aerial_map(8, 8)[None]
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[:, :, 2:6, 2:6] = 200
    found, shown = cropped(images, maps, torch.tensor([0.5]))
    assert (found[:, :, 1:-1, 1:-1] == 200).all() and found.dtype == torch.uint8
    assert (found[:, :, 0, 1:-1] == 150).all()  # a quarter of a pixel beyond the middle
    assert shown[0, 1].max() == 0 and torch.equal(shown[:, 0], maps[:, 0])
    assert torch.equal(cropped(images, maps, torch.tensor([1.0]))[0], images)


def test_training_changes_images_and_tests_do_not():
    model, images = narrow(batch_statistics=True), some_images(*SIZES["ground"])
    usual = model.ground.maps.expand(2, -1, -1, -1)
    torch.manual_seed(0)
    assert not torch.allclose(model(images, "ground"), model(images, "ground"))
    assert torch.equal(model(images, "ground", usual), model(images, "ground", usual))  # given maps: as they are
    never = narrow(batch_statistics=True, augment=False)
    assert torch.equal(never(images, "ground"), never(images, "ground"))
    torch.testing.assert_close(model.eval()(images, "ground"), model(images, "ground", usual))
    with pytest.raises(ValueError, match="images have 64 x 64 pixels, orientation maps 32 x 176: give images of that"):
        model(some_images(64, 64), "ground")


@pytest.mark.parametrize("columns", [1024, 2048])
def test_a_panorama_that_moves_with_its_map_looks_the_same(columns):
    """Up to borders, of which there are few in a wide one, and for whole steps of the last map. Without maps none that
    moves looks different; with maps one does that moves alone.
    """
    panorama, columns = some_images(32, 4096, count=1), torch.tensor([columns])

    def apart(oriented, with_map):
        """1 - cosine of the descriptors of the panorama and of itself moved around the circle."""
        sizes = {"aerial": (32, 32), "ground": (32, 4096)}
        model = oricnn(sizes, oriented=oriented, channels=(8, 8, 12, 12, 12)).eval()
        usual = model.ground.maps[None]
        moved = model(shifted(panorama, columns), "ground", shifted(usual, columns) if with_map else usual)
        return 1 - cosine_similarity(model(panorama, "ground"), moved).item()

    together, alone, without = apart(True, True), apart(True, False), apart(False, False)
    assert max(together, without) < 1e-5 and alone > 1e-3
