import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from windtunnel.models.initialization import initialize
from windtunnel.models.transformer import Transformer, rotary_table, rotate

CPU = torch.device("cpu")


def build(config, members=1, compute_dtype=torch.float32):
    model = Transformer(config, members, compute_dtype)
    initialize(model, list(range(members)))
    return model


def tokens_of(config, members=1, batch=2, length=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocabulary_size, (members, batch, length), generator=generator)


VARIANTS = [
    {"activation": "swiglu", "qk_norm": False, "tied_embedding": False, "parametrization_readout_std": 0.1},
    {"activation": "gelu", "qk_norm": True, "tied_embedding": True, "parametrization_embedding_std": 0.02},
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("position", [0, 4, 11])
def test_attention_is_causal(model_config, variant, position):
    config = model_config(**variant)
    model = build(config)
    embedded = []
    model.embedding.register_forward_hook(lambda _module, _inputs, output: embedded.append(output))
    tokens = tokens_of(config, batch=1)
    loss_T = model.loss(tokens, tokens.roll(-1, -1))[0][0, 0]
    gradient_TD = torch.autograd.grad(loss_T[position], embedded[0])[0][0]
    assert torch.count_nonzero(gradient_TD[position + 1 :]) == 0
    assert bool((gradient_TD[: position + 1].abs().sum(-1) > 0).all())


def test_sequences_of_a_batch_are_independent(model_config):
    config = model_config(parametrization_readout_std=0.1)
    model = build(config)
    tokens = tokens_of(config)
    other = tokens.clone()
    other[0, 1] = tokens_of(config, seed=1)[0, 1]
    assert torch.equal(model(tokens)[0, 0], model(other)[0, 0])
    assert not torch.equal(model(tokens)[0, 1], model(other)[0, 1])


def test_zero_readout_predicts_uniformly(model_config):
    config = model_config()
    tokens = tokens_of(config)
    nats, log_partition = build(config).loss(tokens, tokens)
    assert torch.allclose(nats, torch.full_like(nats, 64).log())
    assert torch.allclose(log_partition, torch.full_like(nats, 64).log())


def test_cross_entropy_and_log_partition_match_the_logits(model_config):
    config = model_config(parametrization_readout_std=1.0)
    model, tokens, targets = build(config, 2), tokens_of(config, 2), tokens_of(config, 2, seed=1)
    logits = model(tokens).double()
    nats, log_partition = model.loss(tokens, targets)
    assert (nats.dtype, log_partition.dtype, nats.shape) == (torch.float32, torch.float32, targets.shape)
    torch.testing.assert_close(log_partition.double(), logits.logsumexp(-1), rtol=1e-6, atol=1e-6)
    of_targets = -logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(nats.double(), of_targets, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_log_partition_is_the_probability(model_config):
    config = model_config(parametrization_readout_std=1.0)
    model, tokens = build(config), tokens_of(config)
    logits = []
    model.readout.register_forward_hook(lambda _module, _inputs, output: logits.append(output))
    (gradient,) = torch.autograd.grad(model.loss(tokens, tokens)[1].sum(), logits)
    torch.testing.assert_close(gradient, logits[0].softmax(-1), rtol=1e-5, atol=1e-6)


def test_rotary_products_depend_on_distance_alone():
    generator = torch.Generator().manual_seed(0)
    q_K, k_K = torch.randn(2, 16, generator=generator)
    table = rotary_table(40, 16, 10_000.0, CPU)
    turned_q, turned_k = (rotate(x.expand(1, 40, 1, 16), table)[0, :, 0].double() for x in (q_K, k_K))
    products_TT = turned_q @ turned_k.T
    for distance in (0, 1, 7, 31):
        along = products_TT.diagonal(-distance)
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-5)
    assert products_TT[0, 0] == pytest.approx((q_K @ k_K).item(), abs=1e-5)
    assert products_TT.diagonal(-1)[0] != pytest.approx(products_TT[0, 0].item(), abs=1e-2)


def test_rotary_pairs_the_halves_of_a_head():
    x = torch.randn(1, 9, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(9).double().outer(100.0 ** -(torch.arange(4).double() / 4))
    as_complex = torch.complex(x[..., :4], x[..., 4:]) * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    expected = torch.cat((as_complex.real, as_complex.imag), dim=-1)
    torch.testing.assert_close(rotate(x, rotary_table(9, 8, 100.0, CPU)).double(), expected, rtol=1e-5, atol=1e-5)


def test_any_length_works_and_inference_may_come_first(model_config):
    config = model_config(parametrization_readout_std=0.1)
    model, tokens = build(config), tokens_of(config)
    with torch.inference_mode():
        short = model(tokens[:, :, :5])
    whole = model(tokens)
    whole.sum().backward()
    torch.testing.assert_close(short, whole[:, :, :5].detach(), rtol=1e-5, atol=1e-6)


def reference_logits(model, tokens_BT):
    """Member 0 in float64, one matrix and one head at a time."""
    config = model.config
    parameters = {name: parameter[0].double() for name, parameter in model.named_parameters()}

    def norm(x, gain):
        return x / (x.square().mean(-1, keepdim=True) + config.norm_epsilon).sqrt() * gain

    D, K, T = config.width, config.head_size, tokens_BT.shape[1]
    table = rotary_table(T, K, config.rotary_base, CPU).double()
    mask = torch.full((T, T), float("-inf"), dtype=torch.float64).triu(1)
    x = parameters["embedding.weight"][tokens_BT]
    for layer in range(config.depth):
        p = {k.removeprefix(f"blocks.{layer}."): v for k, v in parameters.items() if k.startswith(f"blocks.{layer}.")}
        y = norm(x, p["attention_norm.gain"]) @ p["attention.query_key_value.weight"]
        heads = []
        for head in range(config.head_count):
            q, k, v = (y[..., part * D + head * K : part * D + (head + 1) * K] for part in range(3))
            if config.qk_norm:
                q, k = norm(q, p["attention.query_norm.gain"]), norm(k, p["attention.key_norm.gain"])
            q, k = (z * table[0] + torch.cat((z[..., K // 2 :], z[..., : K // 2]), -1) * table[1] for z in (q, k))
            heads.append((q @ k.transpose(1, 2) / K**0.5 + mask).softmax(-1) @ v)
        x = x + config.residual_multiplier * torch.cat(heads, -1) @ p["attention.output.weight"]
        y = norm(x, p["feedforward_norm.gain"])
        if config.activation == "swiglu":
            both = y @ p["feedforward.gate_and_up.weight"]
            y = F.silu(both[..., : config.feedforward_width]) * both[..., config.feedforward_width :]
        else:
            y = F.gelu(y @ p["feedforward.up.weight"])
        x = x + config.residual_multiplier * y @ p["feedforward.down.weight"]
    x = norm(x, parameters["final_norm.gain"])
    matrix = parameters["embedding.weight"].T if config.tied_embedding else parameters["readout.weight"]
    return x @ matrix * config.logit_multiplier


@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("tied_embedding", [False, True])
def test_logits_match_a_plain_float64_transformer(model_config, activation, qk_norm, tied_embedding):
    config = model_config(
        width=48,
        head_count=3,
        depth=3,
        activation=activation,
        qk_norm=qk_norm,
        tied_embedding=tied_embedding,
        parametrization_readout_std=1.0,
    )
    model = build(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".gain"):  # ones would hide a gain in the wrong place
                parameter.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
        tokens = tokens_of(config)
        torch.testing.assert_close(model(tokens)[0].double(), reference_logits(model, tokens[0]), rtol=1e-4, atol=1e-4)


def test_bfloat16_is_near_float32_and_its_loss_is_float32(model_config):
    config = model_config(qk_norm=True, parametrization_readout_std=0.2)
    tokens, targets = tokens_of(config), tokens_of(config, seed=1)
    exact, _ = build(config).loss(tokens, targets)
    model = build(config, compute_dtype=torch.bfloat16)
    rounded, _ = model.loss(tokens, targets)
    assert rounded.dtype == model(tokens).dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).abs().mean() < 0.02
    rounded.mean().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in model.parameters())
