"""MixVPR, BoQ, SALAD and sequence pooling: golden numbers, plain loops, gradients, sizes; and MegaLoc's weights."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vg_core.config import Config
from vg_core.models import build_model, load_model, save_model
from vg_core.models.aggregators import SALAD, BagOfQueries, MixVPR, SequencePool, transport
from vg_core.models.backbones import layers_of
from vg_core.models.weights import differences, options, recognised

SIZE = (3, 5)  # of maps


def maps(channels, size=SIZE, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *size, dtype=torch.float64, generator=generator)


def made(kind, *sizes, **options):
    torch.manual_seed(2)
    layer = kind(*sizes, **options).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


SMALL = {
    "seqpool": lambda: made(SequencePool, 6),
    "mixvpr": lambda: made(MixVPR, 6, 15, rows=2, depth=2),
    "boq": lambda: made(BagOfQueries, 6, 3, rows=2),
    "salad": lambda: made(SALAD, 6, 4, 3, token=2, hidden=5),
}


# --- golden numbers -----------------------------------------------------------------------------------------------
def test_sequence_pooling_golden():
    pool = SequencePool(2).double()
    pool.weight.data[:], pool.bias.data[:] = torch.tensor([[0.5, -0.25]]), 0.1
    x = torch.tensor([[1, 2], [3, -1], [0, 0.5]], dtype=torch.float64).T.view(1, 2, 3, 1)
    wanted = torch.tensor([[2.391458673554, -0.433849813089]], dtype=torch.float64)
    torch.testing.assert_close(pool(x), wanted, atol=1e-11, rtol=0)


def test_transport_golden():
    scores = torch.tensor([[[1, 0, 0.5], [0, 2, -1]]], dtype=torch.float64)
    wanted = [[0.489370962866, 0.100304326478, 0.425117941790], [0.172822783331, 0.711485265275, 0.091059443546]]
    wanted = torch.tensor([[*wanted, [0.337806253803, 0.188210408247, 0.483822614664]]], dtype=torch.float64)
    one = torch.tensor(1.0, dtype=torch.float64)
    torch.testing.assert_close(transport(scores, one), wanted, atol=1e-11, rtol=0)
    assert transport(scores, one, 100)[0, 0, 0].item() == pytest.approx(0.482918141457, abs=1e-11)
    wider = torch.tensor([[[1, 0, 0.5, 0], [0, 2, -1, 0]]], dtype=torch.float64)
    sums = torch.tensor([[1.005432217140, 0.988233331302, 2.006334451558]], dtype=torch.float64)
    torch.testing.assert_close(transport(wider, one).sum(2), sums, atol=1e-11, rtol=0)


def test_transport_is_a_plan_however_large_the_scores():
    scores = 1000 * torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    shares = transport(scores, torch.tensor(1.0))
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 8))
    with pytest.raises(ValueError, match="there are 3 for 3: show it larger images, or lower clusters"):
        transport(scores[:, :, :3], torch.tensor(1.0))


# --- plain loops --------------------------------------------------------------------------------------------------
def looped_salad(layer, x, token):
    """Probabilities in the plain domain, one cluster at a time."""
    m, n = layer.score[-1].out_features, x[0, 0].numel()
    rows = []
    for one, its_token in zip(x.flatten(2).transpose(1, 2), token, strict=True):  # (M, C)
        kernel = torch.cat([layer.score(one).T.exp(), layer.dust_bin.exp().expand(1, n)])  # (m + 1, n)
        wanted = torch.tensor([1.0] * m + [n - m], dtype=torch.float64) / (n + m)
        v = torch.ones(n, dtype=torch.float64)
        for _ in range(3):
            u = wanted / (kernel @ v)
            v = (1 / (n + m)) / (kernel.T @ u)
        plan = u[:, None] * kernel * v * (n + m)
        features = layer.cluster_features(one)  # (M, L)
        clusters = [F.normalize((plan[k, :, None] * features).sum(0), dim=0) for k in range(m)]
        rows.append(
            torch.cat([F.normalize(layer.token_features(its_token), dim=0), torch.stack(clusters, 1).flatten()])
        )
    return F.normalize(torch.stack(rows), dim=1)


def test_salad_is_a_plain_loop():
    layer, x, token = SMALL["salad"](), maps(6), torch.randn(2, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x, token), looped_salad(layer, x, token))
    torch.testing.assert_close(layer(x), looped_salad(layer, x, x.mean((2, 3))))  # of a backbone without class token


def test_mixvpr_is_a_plain_loop():
    layer, x = SMALL["mixvpr"](), maps(6)
    rows = x.flatten(2)
    for norm, first, _, second in layer.mix:
        for b in range(2):
            for c in range(6):
                row = F.layer_norm(rows[b, c], (15,), norm.weight, norm.bias)
                hidden = (first.weight @ row + first.bias).clamp(min=0)
                rows = rows.clone()
                rows[b, c] += second.weight @ hidden + second.bias
    mixed = torch.einsum("dc,bcm->bdm", layer.channel_proj.weight, rows) + layer.channel_proj.bias[:, None]
    short = torch.einsum("rm,bdm->bdr", layer.row_proj.weight, mixed) + layer.row_proj.bias
    torch.testing.assert_close(layer(x), F.normalize(short.flatten(1), dim=1))


def attended(layer, asked, seen):
    """One head of attention from its formula."""
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    q, k, v = (x @ w.T + b for x, w, b in zip((asked, seen, seen), weights, biases, strict=True))
    return layer.out_proj((q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(2) @ v)


def test_bag_of_queries_is_its_formula():
    layer, x, answers = SMALL["boq"](), maps(6), []
    seen = layer.norm_input(F.conv2d(x, layer.proj_c.weight, layer.proj_c.bias, padding=1).flatten(2).transpose(1, 2))
    for block in layer.boqs:
        encoder = block.encoder
        seen = encoder.norm1(seen + attended(encoder.self_attn, seen, seen))
        seen = encoder.norm2(seen + encoder.linear2(encoder.linear1(seen).relu()))
        asked = block.queries.expand(2, -1, -1)
        asked = block.norm_q(asked + attended(block.self_attn, asked, asked))
        answers.append(block.norm_out(attended(block.cross_attn, asked, seen)))
    wanted = layer.fc(torch.cat(answers, dim=1).transpose(1, 2)).flatten(1)
    torch.testing.assert_close(layer(x), F.normalize(wanted, dim=1))


@pytest.mark.parametrize("name", SMALL)
def test_gradients(name):
    layer = SMALL[name]()
    x = maps(6, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    (layer(x) * torch.linspace(-1, 1, layer.width(6), dtype=torch.float64)).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    inert = {"seqpool": ["bias"], "salad": ["dust_bin", "score.3.bias"]}  # a softmax and a row's sum cancel them
    assert [key for key, p in layer.named_parameters() if p.grad.abs().max() < 1e-12] == inert.get(name, [])


# --- sizes --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SMALL)
def test_widths_lengths_and_precision(name):
    layer = SMALL[name]().float()
    x = maps(6).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.float32 and found.shape == (2, layer.width(6))
    torch.testing.assert_close(found, layer(x.float()))
    if layer.normalised:
        torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_widths_of_released_models():
    with torch.device("meta"):
        assert SALAD(768).width(768) == 8448
        assert (BagOfQueries(1024).width(1024), BagOfQueries(768).width(768)) == (16_384, 12_288)
        assert MixVPR(1024, 400).width(1024) == 4096
        assert BagOfQueries(400).width(400) == 6400  # 200 channels have no three heads


@pytest.mark.parametrize("pooling", ["mixvpr", "boq", "salad", "seqpool"])
def test_networks_end_with_them(pooling):
    config = Config(weights="none", layer="layer2", freeze="layer1", image_size=(37, 50), clusters=4, cluster_dim=8)
    model = build_model(config.replace(pooling=pooling)).eval()
    with torch.inference_mode():
        found = model(torch.randn(2, 3, 37, 50))
    assert found.shape == (2, model.dim) and model.ready
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    assert [name for name, _ in model.head.named_children()][-1] == ("l2" if pooling == "seqpool" else "pool")


def test_mixvpr_says_that_its_images_have_one_size():
    config = Config(weights="none", layer="layer2", freeze="layer1", image_size=(32, 64), pooling="mixvpr")
    with pytest.raises(
        ValueError, match="for feature maps of 32 locations and these have 64: show it images of the si"
    ):
        build_model(config).eval()(torch.zeros(1, 3, 64, 64))


def test_boq_of_ours_goes_on(tmp_path):
    config = Config(weights="none", layer="layer1", freeze="none", clusters=3, pooling="boq")
    model, file = build_model(config), tmp_path / "best.safetensors"
    save_model(model, file)
    found = build_model(config.replace(seed=1, weights=str(file)))
    assert all(torch.equal(p, model.pooling.state_dict()[key]) for key, p in found.pooling.state_dict().items())
    assert found.origin.endswith("taken: backbone and pooling; left aside: nothing")


# --- MegaLoc ------------------------------------------------------------------------------------------------------
def megaloc(layers, channels, dim, clusters, values):
    """Tensors of a network as MegaLoc's file names them: a DINOv2 of so many channels."""
    backbone = {"patches.proj": "patch_embed.proj", "patches.": "", "block": "blocks."}
    state = {}
    for layer, module in layers.items():
        for key, value in module.state_dict(prefix=f"{layer}.").items():
            ours = next((start for start in backbone if key.startswith(start)), "")
            state["backbone." + backbone.get(ours, "") + key.removeprefix(ours)] = value
    pooled = SALAD(channels, clusters, dim)
    for key, value in pooled.state_dict().items():
        convolution = key.startswith(("cluster", "score")) and value.ndim == 2  # 1 x 1 there
        state[f"aggregator.agg.{key}"] = value[:, :, None, None] if convolution else value
    linear = nn.Linear(pooled.width(channels), values).state_dict(prefix="aggregator.linear.")
    return state | linear


def test_megaloc_has_these_tensors():
    with torch.device("meta"):
        state = megaloc(layers_of("dinov2_vitb14"), 768, 256, 64, 8448)
    assert len(state) == 189 and sum(value.numel() for value in state.values()) == 228_639_553
    weights = recognised(state, "megaloc.safetensors")
    config = Config(**options(weights, "megaloc.safetensors"))
    assert (config.backbone, config.layer, config.pooling) == ("dinov2_vitb14", "block11", "salad")
    assert (config.clusters, config.cluster_dim, config.fc_output_dim) == (64, 256, 8448)
    with torch.device("meta"):
        model = build_model(config)
    ours = {
        f"{part}.{key}": value
        for part in ("backbone", "pooling", "linear")
        for key, value in weights.parts[part].items()
    }
    wanted = {
        key.replace("head.pool", "pooling").replace("head.", ""): value for key, value in model.state_dict().items()
    }
    assert not differences(wanted, ours)


@pytest.fixture(scope="module")
def small():
    """A network of MegaLoc's form: DINOv2's smallest, two blocks, five clusters."""
    torch.manual_seed(0)
    layers = build_model(Config(weights="none", backbone="dinov2_vits14", layer="block1", freeze="none")).backbone
    return megaloc(dict(layers.named_children()), 384, 8, 5, 12)


def test_a_file_of_megaloc_is_loaded_and_calculates_what_it_says(small, tmp_path):
    torch.save(small, tmp_path / "megaloc.pth")
    model = load_model(tmp_path / "megaloc.pth")
    assert [name for name, _ in model.head.named_children()] == ["pool", "linear", "l2"] and model.dim == 12
    images = torch.randn(2, 3, 61, 80)
    with torch.inference_mode():
        seen = F.interpolate(images, (56, 84), mode="bilinear", antialias=True)
        raw = model.backbone.tail(model.stem(seen)).double()  # (B, C, 1 + 4, 6)
        plain = looped_salad(model.pooling.double(), raw[:, :, 1:], raw[:, :, 0, 0])
        linear = plain @ small["aggregator.linear.weight"].double().T + small["aggregator.linear.bias"]
        model.pooling.float()
        torch.testing.assert_close(model(images), F.normalize(linear, dim=1).float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregator.agg.dust_bin": None}, "tensors missing: head.pool.dust_bin"),
        (
            {"aggregator.agg.score.0.weight": torch.zeros(9, 384, 1, 1)},
            r"head.pool.score.0.weight \(9, 384\) instead of",
        ),
        ({"aggregator.agg.token_features.2.bias": torch.full((256,), math.nan)}, "holds NaN or infinity"),
        (
            {"backbone.blocks.1.ls1.gamma": None},
            "is a model of others with a head unknown|cannot be built here; its back",
        ),
        ({"aggregator.extra": torch.zeros(3)}, "is a model of others with a head unknown here"),
    ],
)
def test_a_wrong_file_of_megaloc_is_a_sentence(small, tmp_path, change, message):
    torch.save({key: value for key, value in (small | change).items() if value is not None}, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "wrong.pth")


def test_a_file_of_salad_has_no_linear_layer(small, tmp_path):
    def theirs(key):
        return key.replace("backbone.", "backbone.model.").replace("aggregator.agg.", "aggregator.")

    state = {theirs(key): value for key, value in small.items() if ".linear." not in key}
    torch.save({"state_dict": state | {"backbone.model.mask_token": torch.zeros(1, 384)}}, tmp_path / "salad.ckpt")
    model = load_model(tmp_path / "salad.ckpt")
    assert [name for name, _ in model.head.named_children()] == ["pool"] and model.dim == 256 + 5 * 8
