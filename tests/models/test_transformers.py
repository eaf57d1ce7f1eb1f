"""Transformers: the numbers of torchvision, timm and a plain loop; sizes, cuts, frozen blocks, class tokens."""

import math

import pytest
import timm
import torch
import torchvision
from torch.nn import functional as F

from vg_core.config import Config
from vg_core.models import build_model, load_model, saliency, save_model
from vg_core.models.backbones import BACKBONES, PATCHES, build_backbone, layers_of, said_of_size
from vg_core.models.network import frozen_stem, inference_copy
from vg_core.models.saliency import gradient_map
from vg_core.models.transformers.layers import SIZES, ViT, positions, transformer_layers
from vg_core.system import downloads

CCT = Config(weights="none", backbone="cct_2_3x2", layer="block1", freeze="block0", pooling="seqpool")
DINO = Config(
    weights="none", backbone="dinov2_vits14", layer="block1", freeze="block0", pooling="cls", l2="before_pool"
)


def images(height, width, dtype=torch.float32):
    return torch.randn(2, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))


def random_weights(network, std=0.05):
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.data.normal_(0, std)
    return network.eval()


@pytest.fixture(scope="module")
def vit():
    """torchvision's ViT-B/32 of two blocks."""
    return random_weights(torchvision.models.VisionTransformer(224, 32, 2, 12, 768, 3072))


@pytest.fixture(scope="module")
def dino():
    """timm's DINOv2 ViT-S/14 of two blocks."""
    return random_weights(timm.create_model("vit_small_patch14_dinov2.lvd142m", num_classes=0, depth=2))


def stored(folder, state, name="weights.pth"):
    torch.save(state, folder / name)
    return str(folder / name)


# --- the same numbers ---------------------------------------------------------------------------------------------
def test_vit_gives_what_torchvision_gives(vit, tmp_path):
    config = DINO.replace(backbone="vit_b_32", weights=stored(tmp_path, vit.state_dict()))
    model, pictures = build_model(config).eval(), images(224, 224)
    assert "is a backbone alone; taken: backbone; left aside: heads.head.weight, heads.head.bias" in model.origin
    with torch.inference_mode():
        tokens = vit.encoder(torch.cat([vit.class_token.expand(2, -1, -1), vit._process_input(pictures)], dim=1))
        torch.testing.assert_close(model(pictures), tokens[:, 0], atol=1e-5, rtol=1e-4)
        patches = model.backbone(pictures).flatten(2).transpose(1, 2)
        torch.testing.assert_close(patches, tokens[:, 1:], atol=1e-5, rtol=1e-4)


def test_dinov2_gives_what_timm_gives(dino, tmp_path):
    theirs = {"mask_token": torch.zeros(1, 384)} | dino.state_dict()  # as Meta's file has it
    model = build_model(DINO.replace(weights=stored(tmp_path, theirs))).eval()
    assert model.origin.endswith("taken: backbone; left aside: nothing")
    with torch.inference_mode():
        tokens = dino.forward_features(images(518, 518))
        assert tokens.std() > 0.01
        torch.testing.assert_close(model(images(518, 518)), tokens[:, 0], atol=1e-5, rtol=1e-4)
        found = model.backbone(images(518, 518)).flatten(2).transpose(1, 2)
        torch.testing.assert_close(found, tokens[:, 1:], atol=1e-5, rtol=1e-4)


def test_dinov2_resizes_images_and_positions_as_its_makers_do(dino, tmp_path):
    model = build_model(DINO.replace(weights=stored(tmp_path, dino.state_dict()))).eval()
    pictures = images(70, 99)  # 99 pixels become 7 patches of 14
    with torch.inference_mode():
        seen = F.interpolate(pictures, (70, 98), mode="bilinear", antialias=True)
        grid = dino.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (37, 37))
        enlarged = F.interpolate(grid, scale_factor=(5.1 / 37, 7.1 / 37), mode="bicubic")
        patches = (dino.patch_embed.proj(seen) + enlarged).flatten(2).transpose(1, 2)
        first = (dino.cls_token + dino.pos_embed[:, :1]).expand(2, -1, -1)
        tokens = dino.norm(dino.blocks(torch.cat([first, patches], dim=1)))
        torch.testing.assert_close(model(pictures), tokens[:, 0], atol=1e-5, rtol=1e-4)
        expected = tokens[:, 1:].transpose(1, 2).unflatten(2, (5, 7))
        torch.testing.assert_close(model.backbone(pictures), expected, atol=1e-5, rtol=1e-4)


def looped_cct(layers, pictures):
    """The paper's network a head at a time."""
    patches, *blocks, norm = layers
    maps = pictures
    for convolution in patches.convolutions:
        maps = F.max_pool2d(F.conv2d(maps, convolution.weight, padding=1).relu(), 3, 2, 1)
    tokens = (maps + positions(patches.pos_embed, maps.shape[2:])).flatten(2).transpose(1, 2)  # (B, M, C)
    for block in blocks:
        asked = block.pre_norm(tokens) @ block.self_attn.qkv.weight.T
        q, k, v = (part.split(64, dim=2) for part in asked.chunk(3, dim=2))  # per head (B, M, 64)
        heads = [(a @ b.transpose(1, 2) / 8).softmax(2) @ c for a, b, c in zip(q, k, v, strict=True)]
        tokens = block.norm1(tokens + block.self_attn.proj(torch.cat(heads, dim=2)))
        tokens = tokens + block.linear2(F.gelu(block.linear1(tokens)))
    return F.layer_norm(tokens, (tokens.shape[2],), norm.weight, norm.bias, 1e-5)


@pytest.mark.parametrize("size", [(32, 32), (21, 37)])
def test_cct_gives_what_a_plain_loop_gives(size):
    backbone, channels = build_backbone("cct_2_3x2", "block1", "none")
    random_weights(backbone.double(), 0.3)
    found = backbone(images(*size, torch.float64))
    assert found.shape == (2, channels, math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), looped_cct(backbone, images(*size, torch.float64)))


@pytest.mark.parametrize("size", [(7, 7), (5, 9), (1, 12)])
def test_positions_are_interpolated_like_images(size):
    learned = images(7, 7, torch.float64)[:1].flatten(2).transpose(1, 2)  # (1, 49, 3)
    scale = tuple((side + 0.1) / 7 for side in size)
    wanted = F.interpolate(images(7, 7, torch.float64)[:1], scale_factor=scale, mode="bicubic")
    wanted = images(7, 7, torch.float64)[:1] if size == (7, 7) else wanted
    torch.testing.assert_close(positions(learned, size), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert positions(learned.float(), size).dtype == torch.float32


# --- sizes --------------------------------------------------------------------------------------------------------
def test_what_a_patch_does_not_divide_is_rounded_and_said():
    assert said_of_size("dinov2_vitb14", (480, 640)) == [
        "dinov2_vitb14 sees images of 480 x 640 pixels as 476 x 644: whole patches of 14"
    ]
    assert said_of_size("vit_b_16", (480, 640)) == said_of_size("cct_2_3x2", (37, 53)) == []
    assert said_of_size("resnet18", (37, 53)) == []


def test_every_transformer_is_known_by_its_sizes():
    assert list(SIZES) == list(PATCHES) and set(PATCHES) <= set(BACKBONES)
    for name, size in SIZES.items():
        assert not isinstance(size, ViT) or size.patch == PATCHES[name]
        assert [*layers_of(name)] == ["patches", *(f"block{number}" for number in range(size.depth)), "norm"]
    counts = {name: sum(p.numel() for layer in layers_of(name).values() for p in layer.parameters()) for name in SIZES}
    assert counts["dinov2_vitb14"] == 86_580_480 - 768  # of Meta's, less its mask token
    for name in ("vit_b_16", "vit_b_32", "vit_l_16"):
        with torch.device("meta"):
            theirs = torchvision.models.get_model(name)
        assert counts[name] == sum(p.numel() for key, p in theirs.named_parameters() if not key.startswith("heads"))


# --- cut, frozen, whole -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [CCT, DINO, DINO.replace(pooling="netvlad", clusters=3)])
def test_frozen_blocks_are_stems(config):
    model, pictures = build_model(config), images(28, 45)
    assert [name for name, _ in model.backbone.named_children()] == ["patches", "block0", "block1", "norm"]
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad and "backbone" in name}
    assert trained == {"block1", "norm"}
    with torch.inference_mode():
        stems, model = frozen_stem(model)(pictures), model.eval()
        torch.testing.assert_close(stems, model.stem(pictures))
        whole = model(pictures)
        torch.testing.assert_close(inference_copy(model, model.frozen_layers).encode(stems).descriptors, whole)
        torch.testing.assert_close(inference_copy(model)(pictures), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "layer3"}, "layer='layer3' is no layer of cct_2_3x2; choose one of: patches, block0, block1$"),
        ({"freeze": "block2"}, "freeze='block2' is neither 'none' nor a layer kept of cct_2_3x2; .*block1, norm$"),
        ({"pooling": "cls"}, "pooling=cls is the class token of a ViT or DINOv2, and cct_2_3x2 has none; choose"),
        ({"weights": "imagenet"}, "weights=imagenet: there are none of cct_2_3x2; weights='none' starts from random"),
        ({"weights": "dinov2"}, "weights=dinov2 are those of dinov2_vits14, .*, not of cct_2_3x2"),
        ({"backbone": "dinov2_vits14", "weights": "imagenet"}, "are none of dinov2_vits14; weights='dinov2' are its"),
        (
            {"backbone": "dinov2_vits14", "pooling": "cls", "attention": "cbam"},
            "pooling=cls is .*, and an attention does nothing to it",
        ),
    ],
)
def test_what_cannot_be_built_is_a_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        build_model(CCT.replace(**changes))


@pytest.mark.parametrize("l2", ["before_pool", "after_pool", "both"])
def test_a_class_token_is_not_a_location(l2):
    model = build_model(DINO.replace(l2=l2)).eval()
    assert [name for name, _ in model.head.named_children()] == ["pool"] + ["l2"] * (l2 != "before_pool")
    token = model.backbone.split(model.backbone.tail(model.stem(images(28, 28))))[1]
    torch.testing.assert_close(model(images(28, 28)), token if l2 == "before_pool" else F.normalize(token, dim=1))


@pytest.mark.parametrize("config", [DINO, *(DINO.replace(pooling=one) for one in ("salad", "boq", "mixvpr")), CCT])
def test_it_compiles_in_one_piece(config):
    """In training too, and of images that are not whole patches."""
    config, pictures = config.replace(clusters=3, image_size=(28, 45)), images(28, 45)
    for training in (True, False):
        torch.compiler.reset()
        model, found = build_model(config).train(training), []
        for encode in (model.encode, torch.compile(model.encode, fullgraph=True, backend="eager")):
            torch.manual_seed(0)  # SALAD drops at random
            found.append(encode(model.stem(pictures)).descriptors)
        torch.testing.assert_close(*found)


def test_a_heat_map_has_no_row_for_the_class_token():
    picture = torch.randint(0, 256, (3, 28, 42), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = build_model(DINO.replace(pooling="average", l2="after_pool")).eval()
    reference = torch.nn.functional.normalize(torch.randn(384), dim=0)
    assert gradient_map(model, picture, reference).shape == (28, 42)
    assert saliency._location_weights(*saliency._ready(model, picture, reference)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"a class token lies at no location, .*; use occlusion_map"):
        gradient_map(build_model(DINO).eval(), picture, reference)


# --- files --------------------------------------------------------------------------------------------------------
def test_a_model_of_ours_comes_back(tmp_path):
    model = build_model(CCT).eval()
    save_model(model, tmp_path / "best.safetensors")
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path / "best.safetensors")(images(21, 37)), model(images(21, 37)))
    again = build_model(CCT.replace(seed=1, weights=str(tmp_path / "best.safetensors")))
    assert again.origin.endswith("is a model of ours; taken: backbone and pooling; left aside: nothing")
    cut = build_model(CCT.replace(layer="block0", weights=str(tmp_path / "best.safetensors")))
    assert torch.equal(cut.backbone.norm.weight, model.backbone.norm.weight)
    assert "left aside: block1, head.pool." in cut.origin and cut.origin.endswith("(the pooling is of another layer)")


def of_cct(backbone, pool):
    """Tensors by the names of the authors' code."""
    names = {
        "patches.convolutions.0.": "tokenizer.conv_layers.0.0.",
        "patches.convolutions.1.": "tokenizer.conv_layers.1.0.",
    }
    names |= {"patches.pos_embed": "classifier.positional_emb", "norm.": "classifier.norm."}
    names |= {f"block{number}.": f"classifier.blocks.{number}." for number in range(14)}
    start = {key: next(ours for ours in names if key.startswith(ours)) for key in backbone.state_dict()}
    state = {names[start[key]] + key.removeprefix(start[key]): value for key, value in backbone.state_dict().items()}
    state |= {f"classifier.attention_pool.{key}": value for key, value in pool.state_dict().items()}
    return state | {"classifier.fc.weight": torch.zeros(10, 128), "classifier.fc.bias": torch.zeros(10)}


def test_cct_by_the_names_of_its_authors(tmp_path):
    model = build_model(CCT.replace(seed=3))
    found = build_model(CCT.replace(weights=stored(tmp_path, of_cct(model.backbone, model.pooling))))
    assert "is a backbone alone; taken: backbone and pooling; left aside: classifier.fc" in found.origin
    for part in ("backbone", "pooling"):
        wanted = getattr(model, part).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in getattr(found, part).state_dict().items())


def test_files_that_do_not_fit_are_named(vit, tmp_path):
    file = stored(tmp_path, vit.state_dict())
    with pytest.raises(
        ValueError, match=r"does not fit vit_b_16 up to block1; it is a backbone alone, vit_b_32 up to bl"
    ):
        build_model(DINO.replace(backbone="vit_b_16", weights=file))
    with pytest.raises(ValueError, match=r"train --weights .*weights\.pth --backbone vit_b_32 --layer block1$"):
        load_model(file)
    missing = {name: value for name, value in vit.state_dict().items() if "layer_1.mlp.0" not in name}
    with pytest.raises(ValueError, match=r"tensors missing: block1\.mlp\.fc1\.weight, block1\.mlp\.fc1\.bias"):
        build_model(DINO.replace(backbone="vit_b_32", weights=stored(tmp_path, missing)))


def unplugged(*_arguments, **_options):
    raise OSError("no network")


def test_released_weights_are_taken_from_the_hub_or_a_sentence_says_where_they_belong(vit, dino, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(downloads, "_opened", unplugged)
    (tmp_path / "checkpoints").mkdir()
    given = {
        ("vit_b_32", "imagenet"): ("vit_b_32-d86f8d99.pth", vit),
        ("dinov2_vits14", "dinov2"): ("dinov2_vits14_pretrain.pth", dino),
    }
    for (backbone, weights), (name, theirs) in given.items():
        config = DINO.replace(backbone=backbone, weights=weights)
        with pytest.raises(OSError, match=rf"could not be fetched .* place it at .*{name}, or say where you have it"):
            build_model(config)
        stored(tmp_path / "checkpoints", theirs.state_dict(), name)
        assert build_model(config).origin == ""
    with pytest.raises(OSError, match=r"place it at .*cct_14_7x2_384_imagenet\.pth"):
        build_model(CCT.replace(backbone="cct_14_7x2", weights="imagenet"))


def test_layers_are_drawn_from_the_seed_alone():
    torch.manual_seed(0)
    one = dict(transformer_layers("cct_2_3x2"))
    assert abs(one["block0"].linear1.weight.std() - 0.02) < 0.002 and not one["block0"].linear1.bias.any()
