"""Night made of day: golden properties, equal to whole transforms and to Pillow image by image, one draw an image."""

import random

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks import reference
from vg_core.augmentation import night
from vg_core.augmentation.by_name import check_augmentation, make_augmentation
from vg_core.augmentation.night import AFTER_FDA, FDA, STAND_ALONE, band, draw_night, synthetic_night, with_fda
from vg_core.datasets.images import UnreadableImage

SIZE = 48, 64


def batch(count=4, size=SIZE, seed=0, lowest=0, highest=256):
    """uint8 noise as ``Photographs.batch`` gives it, channels last in memory."""
    pixels = np.random.default_rng(seed).integers(lowest, highest, (count, *size, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def smooth(count=4, size=SIZE, seed=0):
    """Photographs without noise: large patches of colour."""
    patches = batch(count, (4, 5), seed, 20, 236).float()
    return torch.nn.functional.interpolate(patches, size, mode="bilinear").round().to(torch.uint8)


def arrays(images):
    return list(np.ascontiguousarray(images.permute(0, 2, 3, 1)))


def seeded(change, images, seed=0):
    torch.manual_seed(seed)
    return change(images)


def gap(a, b):
    return int((a.int() - b.int()).abs().max())


STYLES = batch(3, seed=9, highest=90)
TRANSFORMS = {
    "fda": FDA(STYLES, beta=0.2),
    "fda as the reference": FDA(STYLES, reference=True),
    "synthetic night": synthetic_night,
    "mild": lambda images: synthetic_night(images, AFTER_FDA),
    "both": with_fda(FDA(STYLES, beta=0.2)),
}
every = pytest.mark.parametrize("change", TRANSFORMS.values(), ids=TRANSFORMS)


# --- all of them ---------------------------------------------------------------------------------------------------
@every
def test_images_stay_uint8_of_the_same_size_and_the_originals_as_they_were(change):
    for images in (batch(), batch(0)):
        before = images.clone()
        result = seeded(change, images)
        assert result.shape == images.shape and result.dtype == torch.uint8 and torch.equal(images, before)


@every
def test_the_seed_of_torch_alone_decides_and_a_saved_state_goes_on(change):
    images = batch()
    first, state = seeded(change, images), torch.get_rng_state()
    second = change(images)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (what is shown is that the global state plays no part)
    assert torch.equal(seeded(change, images), first)
    torch.set_rng_state(state)
    assert torch.equal(change(images), second) and not torch.equal(second, first)


@every
def test_a_whole_batch_at_once_equals_image_by_image(change, monkeypatch):
    """The way of the GPU against the way of the CPU."""
    images = batch()
    apart = seeded(change, images)
    monkeypatch.setattr(night, "_parts", lambda *tensors: [tensors])
    assert gap(seeded(change, images), apart) <= 1


@every
def test_each_image_has_a_draw_of_its_own(change):
    same = batch(1).expand(8, -1, -1, -1)
    assert len({bytes(image.contiguous().numpy()) for image in seeded(change, same)}) > 1


@pytest.mark.parametrize(
    ("name", "change"),
    {
        "fda": "fda",
        "synthetic_night": "synthetic night",
        "synthetic_night_mild": "mild",
        "fda_synthetic_night": "both",
    }.items(),
)
def test_as_augmentations_they_change_half_of_the_images_and_say_which(name, change):
    images = batch(64)
    augment = make_augmentation(f"{name}+horizontal_flip", STYLES, beta=0.2)
    torch.manual_seed(0)
    chosen = torch.rand(64) < 0.5
    expected = images.clone()
    expected[chosen] = TRANSFORMS[change](images[chosen])
    expected = make_augmentation("horizontal_flip")(expected)
    assert torch.equal(seeded(augment, images), expected) and torch.equal(augment.by_night, chosen)
    assert 16 < chosen.sum() < 48 and torch.equal(images, batch(64))
    torch.manual_seed(0)
    flipped = make_augmentation("horizontal_flip")(images)
    torch.manual_seed(0)
    assert torch.equal(augment(images, share=0), flipped) and not augment.by_night.any()
    assert augment(images[:0]).shape == images[:0].shape


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "fda+synthetic_night",
            "fda and synthetic_night change halves of their own; .*fda_synthetic_night does both",
        ),
        ("fda+hue+fda_synthetic_night", "fda and fda_synthetic_night change halves of their own; choose one$"),
        ("fda", "there are no style images: FDA needs photographs by night, at least one"),
    ],
)
def test_augmentations_that_cannot_be_are_sentences(name, said):
    with pytest.raises(ValueError, match=said):
        make_augmentation(name)


def test_an_fda_that_changes_nothing_is_a_sentence_with_the_beta_that_would():
    with pytest.raises(ValueError, match=r"fda_beta=0.01 changes nothing in images of 60x80; from 0.033 .* 0.067 does"):
        check_augmentation("hue+fda", (60, 80))
    assert check_augmentation("synthetic_night", (60, 80)) == ["synthetic_night"]
    assert band(0.034, 60, 80) == 1 and band(0.067, 60, 80) == band(0.01, 512, 512) == 2
    assert check_augmentation("fda", (60, 80), 0.034) and check_augmentation("fda", (480, 640))


# --- FDA -----------------------------------------------------------------------------------------------------------
def spectrum(images):
    return torch.fft.rfft2(images.double())


def whole_transform(images, styles, beta):
    """The definition, in float64."""
    own, other, (height, width) = spectrum(images), spectrum(styles), images.shape[2:]
    down = torch.fft.fftfreq(height, 1 / height).abs()[:, None]
    across = torch.arange(width // 2 + 1)
    chosen = torch.maximum(down, across) < band(beta, height, width)
    return torch.fft.irfft2(torch.polar(torch.where(chosen, other.abs(), own.abs()), own.angle()), s=(height, width))


def styled(fda, images):
    """What is rounded by FDA, of styles that are as many as the images."""
    return fda._styled(images.float(), fda.amplitudes)


def test_the_published_bands():
    assert [band(beta, 512, 1024) for beta in (0, 0.01, 0.05, 0.09, 1)] == [0, 2, 12, 23, 256]
    assert [band(0.01, height, 640) for height in (54, 199, 200, 400, 480)] == [0, 0, 1, 2, 2]
    assert band(0.1, 54, 72) == 2
    assert band(1, 100, 7) == 4  # all of its columns


@settings(deadline=None)
@example((31, 20), 1.0, 0)  # with the column that is its own mirror image
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.floats(0, 1), st.integers(0, 1000))
def test_it_is_the_whole_transform_for_every_size_and_band(size, beta, seed):
    images, styles = batch(2, size, seed), batch(2, size, seed + 1)
    expected = whole_transform(images, styles, beta)
    torch.testing.assert_close(styled(FDA(styles, beta), images).double(), expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.09])
def test_the_published_bands_are_the_whole_transform_at_512_rows(beta):
    images, style = batch(1, (512, 512)), batch(1, (512, 512), 1, 0, 90)
    whole = whole_transform(images, style, beta)
    assert float((styled(FDA(style, beta), images) - whole).abs().max()) < 0.02
    torch.testing.assert_close(FDA(style, beta)(images).double(), whole.clamp(0, 255), atol=0.52, rtol=0)


@pytest.mark.parametrize("size", [SIZE, (37, 51)])
@pytest.mark.parametrize("beta", [0, 0.05, 0.2, 1])
def test_the_style_of_the_image_itself_and_no_band_change_nothing(size, beta):
    images = batch(size=size)
    for image in images:
        assert torch.equal(FDA(image[None], beta)(image[None]), image[None])
    assert torch.equal(FDA(batch(3, size, 1), 0)(images), images)


def test_a_band_of_1_moves_the_mean_colour_alone():
    images, styles = batch(), batch(seed=1, highest=90)
    assert band(0.05, *SIZE) == 1
    means = [some.double().mean((2, 3), keepdim=True) for some in (images, styles)]
    torch.testing.assert_close(styled(FDA(styles, 0.05), images), (images - means[0] + means[1]).float())


@pytest.mark.parametrize("beta", [0.05, 0.2, 0.6])
def test_mean_colour_and_amplitudes_are_the_styles_and_phases_the_images(beta):
    images, styles = batch(), batch(seed=1, highest=90)
    result = styled(FDA(styles, beta), images)
    torch.testing.assert_close(result.mean((2, 3)), styles.float().mean((2, 3)))
    own, other, found = spectrum(images), spectrum(styles), spectrum(result)
    b = band(beta, *SIZE)
    torch.testing.assert_close(found[..., :b, :b].abs(), other[..., :b, :b].abs(), atol=0.1, rtol=1e-4)
    torch.testing.assert_close(found[..., b:-b, :].abs(), own[..., b:-b, :].abs(), atol=0.1, rtol=1e-4)
    turned = (found / own).angle()[found.abs() > 1]
    assert float(turned.abs().max()) < 0.01


def test_black_takes_a_style_and_gives_one():
    black, some = torch.zeros(1, 3, *SIZE, dtype=torch.uint8), batch(1)
    assert float(styled(FDA(black, 0.05), some).mean()) == pytest.approx(0, abs=1e-3)
    assert float(styled(FDA(some, 0.05), black).std((2, 3)).max()) < 1e-3  # the mean colour, and all of it one colour


@pytest.mark.parametrize("size", [(512, 512), SIZE])
def test_the_reference_form_is_pillow_and_whole_transforms(size):
    images, styles = smooth(2, size), batch(1, (60, 80), 1, 0, 90)
    found = seeded(FDA(styles, reference=True), images)
    expected = [reference.fda(image, arrays(styles)[0], 0.01, (512, 1024)) for image in arrays(images)]
    gaps = np.abs(np.stack(arrays(found)).astype(int) - np.stack(expected))
    assert gaps.max() <= 1 and gaps.mean() < 0.1  # Pillow rounds rows before it resizes columns


def test_images_at_their_size_are_the_reference_within_what_stretching_loses():
    images, styles = smooth(2, (512, 512)), smooth(1, (512, 512), 1)
    found = [seeded(FDA(styles, reference=stretched), images) for stretched in (False, True)]
    assert gap(*found) <= 3


def test_each_style_is_taken_as_often():
    greys = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, *SIZE) * 20 + 30
    means = seeded(FDA(greys, 0.05), smooth(1).expand(400, -1, -1, -1) // 4 + 90).float().mean((1, 2, 3))
    counts = torch.bincount(((means - 30) / 20).round().long(), minlength=4)
    assert len(counts) == 4 and counts.min() > 70


def test_styles_are_read_at_the_size_of_the_images(tmp_path):
    for number, image in enumerate(arrays(smooth(2, (96, 128)))):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    read = FDA.of(sorted(tmp_path.glob("*.png")), SIZE, 0.2)
    assert read.size == SIZE and len(read.amplitudes) == 2
    pixels = [Image.open(tmp_path / f"{n}.png").resize(SIZE[::-1], Image.Resampling.BILINEAR) for n in (0, 1)]
    expected = FDA(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), 0.2)
    assert torch.equal(read.amplitudes, expected.amplitudes)


def test_styles_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match="there are no style images: FDA needs photographs by night, at least one"):
        FDA(batch(0))
    with pytest.raises(ValueError, match="there are no style images"):
        FDA.of([], SIZE)
    unlike = [batch(1)[0], batch(1, (24, 32))[0]]
    with pytest.raises(ValueError, match="style image 1 is 24x32, those before it are 48x64; bring all of them to"):
        FDA(unlike)
    assert len(FDA(unlike, reference=True).amplitudes) == 2  # which stretches them
    with pytest.raises(ValueError, match="the style images are 24x32, the images 48x64; read the style images at"):
        FDA(batch(1, (24, 32)))(batch())
    (tmp_path / "night.jpg").write_text("no photograph")
    with pytest.raises(UnreadableImage, match=r"night\.jpg: not a readable image"):
        FDA.of([tmp_path / "night.jpg"], SIZE)


@pytest.mark.parametrize("beta", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_beta_out_of_range(beta):
    with pytest.raises(ValueError, match=f"beta={beta:g} is no share of the frequencies; choose one from 0 to 1"):
        FDA(batch(1), beta)


# --- synthetic night -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(512, 512), (480, 640), (54, 72)])
@pytest.mark.parametrize("factors", [STAND_ALONE, AFTER_FDA], ids=["alone", "after FDA"])
def test_all_but_the_noise_is_pillow(size, factors):
    images = smooth(2, size)
    drawn, lamps, _ = seeded(lambda images: draw_night(len(images), size, factors), images)
    found = night._dark(images, drawn, lamps)
    for image, result, own, some in zip(arrays(images), found, drawn.tolist(), lamps, strict=True):
        gaps = np.abs(result.permute(1, 2, 0).numpy() - reference.synthetic_night(image, own, some.T.tolist(), 0))
        assert gaps.max() <= (1 if min(size) > 400 else 2) and gaps.mean() < 0.2  # edges of small discs differ


def test_parameters_are_drawn_from_their_ranges():
    height, width = 60, 90
    drawn, lamps, seeds = draw_night(4000, (height, width), STAND_ALONE)
    for column, (low, high) in zip(drawn.T, STAND_ALONE, strict=True):
        assert low <= column.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < column.max() <= high
    x, y, radius = lamps.unbind(1)
    ranges = [(int(some.min()), int(some.max())) for some in (x, y, radius)]
    assert ranges == [(0, width - 1), (height // 4, height - 1), (height // 5, height // 3 - 1)]
    assert len(set(seeds.tolist())) == 4000


def test_noise_is_whole_normal_and_of_mean_0():
    grey = torch.full((1, 3, 200, 300), 200, dtype=torch.uint8)
    drawn, lamps, _ = seeded(lambda _: draw_night(1, (200, 300), STAND_ALONE), grey)
    noise = (seeded(synthetic_night, grey) - night._dark(grey, drawn, lamps))[:, :, 100:]  # where nothing is cut at 0
    whole = (5 * torch.randn(200_000)).trunc()
    assert abs(float(noise.mean())) < 0.05 and float(noise.std()) == pytest.approx(float(whole.std()), abs=0.05)
    assert len({tuple(channel.flatten().tolist()) for channel in noise[0]}) == 3


@pytest.mark.parametrize("factors", [STAND_ALONE, AFTER_FDA], ids=["alone", "after FDA"])
def test_it_looks_like_night(factors):
    day = smooth(16)
    dark = seeded(lambda images: synthetic_night(images, factors), day)
    before, after = day.float().mean((2, 3)), dark.float().mean((2, 3))  # (B, 3) each
    assert (after.mean(1) < 0.75 * before.mean(1)).all()
    assert after[:, 2].sum() / after[:, 0].sum() > 1.03 * before[:, 2].sum() / before[:, 0].sum()
    plain = seeded(lambda images: synthetic_night(images, factors), torch.full((16, 3, 60, 80), 180, dtype=torch.uint8))
    red, _, blue = plain.float().mean((2, 3)).T  # (B,) each
    assert (blue > 1.03 * red).all()
    top, bottom = plain[:, :, :20].float().mean((1, 2, 3)), plain[:, :, 40:].float().mean((1, 2, 3))
    assert (top < 0.6 * bottom).all()


def test_it_is_milder_behind_fda():
    images, fda = smooth(), FDA(smooth(1), 0.05)
    alone = seeded(lambda images: synthetic_night(fda(images)), images)
    assert seeded(with_fda(fda), images).float().mean() > alone.float().mean()
