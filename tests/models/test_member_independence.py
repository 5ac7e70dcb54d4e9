import pytest
import torch

from windtunnel.models.initialization import initialize
from windtunnel.models.transformer import Transformer

SEEDS = [11, 22, 33, 44]
VARIANTS = [
    {"activation": "swiglu", "qk_norm": False, "tied_embedding": False},
    {"activation": "gelu", "qk_norm": True, "tied_embedding": True},
]


def lay_out_flat(model: Transformer, members: int) -> torch.Tensor:
    """Move the parameters into columns of one (members, P) buffer, P a multiple of 16: views strided across members."""
    names_and_parameters = list(model.named_parameters())
    used = sum(parameter[0].numel() for _, parameter in names_and_parameters)
    flat_MP = torch.zeros(members, -(-used // 16) * 16)
    start = 0
    for _, parameter in names_and_parameters:
        end = start + parameter[0].numel()
        parameter.data = flat_MP[:, start:end].view(parameter.shape)
        start = end
    return flat_MP


def losses_and_gradients(config, seeds, tokens, targets, flat, compute_dtype):
    model = Transformer(config, len(seeds), compute_dtype)
    if flat:
        lay_out_flat(model, len(seeds))
    initialize(model, seeds)
    nats, log_partition = model.loss(tokens, targets)
    (nats.mean((1, 2)) + 1e-3 * log_partition.square().mean((1, 2))).sum().backward()
    return nats.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape", [{}, {"width": 24, "head_count": 2, "feedforward_width": 56}, {"width": 80, "head_count": 5}]
)
def test_member_is_bitwise_the_same_alone_and_in_a_fleet(model_config, variant, flat, compute_dtype, shape):
    config = model_config(**variant, **shape, parametrization_readout_std=0.5)
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(config.vocabulary_size, (2, 4, 3, 40), generator=generator)
    together = losses_and_gradients(config, SEEDS, tokens, targets, flat, compute_dtype)
    for member, seed in enumerate(SEEDS):
        only = slice(member, member + 1)
        # Alone, the parameters have the other storage: neither other members nor storage may matter.
        alone = losses_and_gradients(config, [seed], tokens[only], targets[only], not flat, compute_dtype)
        assert torch.equal(alone[0], together[0][only])
        for name, gradient in alone[1].items():
            assert torch.equal(gradient, together[1][name][only]), name
            assert torch.count_nonzero(gradient) > 0, name


def test_diverged_member_does_not_change_the_others(model_config):
    config = model_config(parametrization_readout_std=0.5)
    tokens = torch.randint(config.vocabulary_size, (2, 2, 16), generator=torch.Generator().manual_seed(0))
    model = Transformer(config, 2)
    initialize(model, SEEDS[:2])
    with torch.no_grad():
        healthy, _ = model.loss(tokens, tokens)
        model.embedding.weight[0] = float("nan")
    nats, _ = model.loss(tokens, tokens)
    nats.mean((1, 2)).sum().backward()
    assert bool(nats[0].isnan().all())
    assert torch.equal(nats[1], healthy[1])
    assert all(bool(parameter.grad[1].isfinite().all()) for parameter in model.parameters())
