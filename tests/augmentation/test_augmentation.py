"""Augmentations: equal to torchvision and colorsys, one draw an image, repeatable by torch's seed alone."""

import colorsys
import random
from functools import reduce
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from vg_core.augmentation import colour_and_shape as augmentation
from vg_core.augmentation.by_name import make_augmentation
from vg_core.augmentation.colour_and_shape import AUGMENTATIONS

RANDOM = [name for name in AUGMENTATIONS if name != "none"]


def batch(count=6, size=(24, 32), seed=0):
    """Photographs as ``Photographs.batch`` gives them: uint8, channels last in memory."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def seeded(name, images, seed=0):
    torch.manual_seed(seed)
    return make_augmentation(name)(images)


def gap(a, b):
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_images_stay_uint8_of_the_same_size_and_the_originals_stay_as_they_were(name):
    images = batch()
    before = images.clone()
    result = seeded(name, images)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    assert torch.equal(images, before)


def test_none_does_nothing_and_draws_nothing():
    images, state = batch(), torch.get_rng_state()
    assert make_augmentation("none")(images) is images
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", RANDOM)
def test_the_seed_of_torch_alone_decides(name):
    images = batch()
    first = seeded(name, images)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (what is shown is that the global state plays no part)
    untouched = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(seeded(name, images), first)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == untouched  # noqa: NPY002
    assert not torch.equal(seeded(name, images, seed=2), first)


@pytest.mark.parametrize("name", RANDOM)
def test_each_image_has_parameters_of_its_own(name):
    same = batch(1).expand(8, -1, -1, -1)
    assert len({bytes(image.contiguous().numpy()) for image in seeded(name, same)}) > 1


def test_a_saved_random_state_goes_on_exactly():
    augment = make_augmentation("colour_jitter+random_resized_crop+rand_augment")
    torch.manual_seed(3)
    augment(batch())
    state = torch.get_rng_state()
    expected = augment(batch(seed=1))
    torch.set_rng_state(state)
    assert torch.equal(augment(batch(seed=1)), expected)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_are_torchvisions(name):
    images = batch()
    result = seeded(name, images)
    torch.manual_seed(0)
    factors = torch.empty(len(images)).uniform_(0.3, 1.7)
    adjust = getattr(F, f"adjust_{name}")
    # on floats, where torchvision does not cut fractions off at each step
    expected = torch.stack([adjust(image / 255, float(f)) * 255 for image, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(result.float(), expected, atol=0.51, rtol=0)


def test_hue_is_torchvisions():
    images = batch()
    turns = torch.linspace(-0.5, 0.5, len(images))
    result = augmentation._turn_hue(images, turns.view(-1, 1, 1, 1))
    expected = torch.stack([F.adjust_hue(image, float(t)) for image, t in zip(images, turns, strict=True)])
    assert gap(result, expected) <= 1


@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(-0.5, 0.5))
def test_hue_turns_every_colour_as_colorsys_does(rgb, turn):
    pixel = torch.tensor(rgb, dtype=torch.uint8).view(1, 3, 1, 1)
    h, s, v = colorsys.rgb_to_hsv(*(value / 255 for value in rgb))
    expected = np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
    result = augmentation._turn_hue(pixel, torch.full((1, 1, 1, 1), turn)).flatten().numpy()
    assert np.abs(result - expected).max() <= 0.51


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "perspective", "rotation"])
def test_a_whole_batch_at_once_equals_image_by_image(name, monkeypatch):
    """The way of the GPU against the way of the CPU."""
    images = batch()
    apart = seeded(name, images)
    monkeypatch.setattr(augmentation, "_split", lambda adjust, images, parameters: adjust(images, parameters))
    assert gap(seeded(name, images), apart) <= 1


@pytest.mark.parametrize(
    ("name", "change"),
    [("horizontal_flip", lambda images: images.flip(-1)), ("greyscale", lambda i: F.rgb_to_grayscale(i, 3))],
)
def test_half_of_the_images_are_changed(name, change):
    images = batch(400, (4, 6))
    result, changed = seeded(name, images), change(images)
    different = (result != images).flatten(1).any(1)
    assert torch.equal(result[different], changed[different])
    assert 150 < int(different.sum()) < 250


SIZES = st.tuples(st.integers(2, 40), st.integers(2, 40))
BILINEAR = v2.InterpolationMode.BILINEAR


@given(SIZES, st.lists(st.floats(-180, 180, width=32), min_size=1, max_size=4))
def test_rotations_are_torchvisions(size, angles):
    images = batch(len(angles), size)
    expected = [F.rotate(image, angle, BILINEAR, fill=0) for image, angle in zip(images, angles, strict=True)]
    assert gap(augmentation._turn(images, torch.tensor(angles).deg2rad()), torch.stack(expected)) <= 1


@given(SIZES, st.integers(1, 4), st.integers(0, 1000))
def test_perspectives_are_torchvisions(size, count, seed):
    torch.manual_seed(seed)
    images, draw = batch(count, size), v2.RandomPerspective(0.5)
    drawn = [draw.make_params([image])["coefficients"] for image in images]
    expected = [F.perspective(i, None, None, BILINEAR, 0, c) for i, c in zip(images, drawn, strict=True)]
    matrices = torch.tensor([[*coefficients, 1.0] for coefficients in drawn]).view(-1, 3, 3)
    assert gap(augmentation._warp(images, matrices), torch.stack(expected)) <= 1


def test_angles_are_drawn_as_by_torchvision():
    images, transform = batch(), v2.RandomRotation(15.0, BILINEAR)
    result = seeded("rotation", images)
    torch.manual_seed(0)
    assert gap(result, torch.stack([transform(image) for image in images])) <= 1


def test_half_of_the_images_are_seen_from_an_angle():
    plain = torch.full((400, 3, 4, 6), 200, dtype=torch.uint8)
    assert 100 < int((seeded("perspective", plain) != 200).flatten(1).any(1).sum()) < 250
    assert torch.equal(seeded("perspective", plain[:1], seed=1), plain[:1])  # none of them


def test_a_crop_leaves_no_border_and_a_rotation_turns_about_the_centre():
    plain = torch.full((8, 3, 24, 32), 200, dtype=torch.uint8)
    assert (seeded("random_resized_crop", plain) == 200).all()
    turned = seeded("rotation", plain)
    assert (turned[:, :, 10:14, 14:18] == 200).all()
    assert (turned == 0).any()
    seen = (seeded("perspective", plain) == 0).flatten(1).any(1)
    assert 0 < int(seen.sum()) < 8


def test_mild_colours_change_less():
    images = batch(32)
    strong, mild = (
        float((seeded(name, images).float() - images).abs().mean()) for name in ("colour_jitter", "colour_jitter_mild")
    )
    assert 0 < mild < strong / 2


def test_orders_of_colours_are_random_for_each_image(monkeypatch):
    """Each change writes its number as the next digit of a pixel: all 24 orders are as frequent as they should be."""
    changes = [lambda images, number=number: 4 * images + number for number in range(4)]
    monkeypatch.setattr(augmentation, "COLOURS", changes)
    found = seeded("colour_jitter_any_order", torch.zeros(2400, 3, 1, 1, dtype=torch.uint8))[:, 0, 0, 0]
    numbers, counts = np.unique(found.numpy(), return_counts=True)
    assert {*numbers} == {64 * a + 16 * b + 4 * c + d for a, b, c, d in permutations(range(4))}
    assert ((counts - 100) ** 2 / 100).sum() < 49.8  # chi-square of 23 degrees of freedom: 1 in 1000


def test_a_single_image_is_jittered_as_in_one_of_the_orders(monkeypatch):
    image = batch(1)
    plain = {name: getattr(augmentation, name) for name in ("brightness", "contrast", "saturation", "hue")}
    fixed = [lambda images, change=change: _at(7, change, images) for change in plain.values()]
    monkeypatch.setattr(augmentation, "COLOURS", fixed)
    found = seeded("colour_jitter_any_order", image)
    every = [reduce(lambda done, change: change(done), order, image) for order in permutations(fixed)]
    assert sum(torch.equal(found, one) for one in every) == 1


def _at(seed, change, images):
    """What a change makes of images, drawn from a seed of its own."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    found = change(images)
    torch.set_rng_state(state)
    return found


def test_parts_are_joined_in_their_order():
    images = batch()
    assert torch.equal(seeded("brightness+contrast+saturation+hue", images), seeded("colour_jitter", images))
    assert torch.equal(seeded("none+hue+none", images), seeded("hue", images))
    assert not torch.equal(seeded("hue+brightness", images), seeded("brightness+hue", images))


@pytest.mark.parametrize("name", ["hue+sharpen", "sharpen", "hue+"])
def test_an_unknown_part_is_named_beside_those_there_are(name):
    unknown = name.split("+")[-1]
    with pytest.raises(KeyError, match=f"no augmentation is called '{unknown}'.*none, brightness.*rand_augment"):
        make_augmentation(name)


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_other_tensors_are_refused(images):
    with pytest.raises(ValueError, match="uint8 images"):
        make_augmentation("hue")(images)
