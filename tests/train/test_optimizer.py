"""AdamW over flat rows equals torch's AdamW per parameter, with a rate per member and a rule per role."""

from dataclasses import replace

import pytest
import torch

from windtunnel.models.configuration import ModelConfig, Parametrization
from windtunnel.models.initialization import initialize
from windtunnel.models.parametrization import Role, role_of, rule
from windtunnel.models.transformer import Transformer
from windtunnel.train.config.config import OptimizerConfig
from windtunnel.train.flat_parameters import ALIGNMENT, FlatParameters
from windtunnel.train.optimizer import AdamW

PARAMETRIZATION = Parametrization("completep", 16, 2, 1.0, 0.5, 0.1)
MODEL = ModelConfig(24, 4, 2, 40, 50, "swiglu", True, False, 1e4, 1e-6, 0.0, PARAMETRIZATION)
OPTIMIZER = OptimizerConfig(0.01, 64, 0.9, 0.95, 1e-3, 0.1, 0.0)  # a large epsilon, so that its multiplier shows
STEPS = 5


def build(members: int, config: OptimizerConfig = OPTIMIZER) -> tuple[Transformer, FlatParameters, AdamW]:
    model = Transformer(MODEL, members)
    initialize(model, list(range(members)))
    flat = FlatParameters(model)
    return model, flat, AdamW(flat, config)


def gradients(step: int, like: torch.Tensor) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(step))


def test_adamw_equals_torch_with_a_group_per_role() -> None:
    model, _, optimizer = build(1)
    reference = {name: parameter.detach().clone().requires_grad_() for name, parameter in model.named_parameters()}
    groups = []
    for name, parameter in reference.items():
        fan_in = parameter.shape[1] if parameter.dim() == 3 else 1
        role_rule = rule(role_of(name), MODEL, fan_in)
        groups.append(
            {
                "params": [parameter],
                "lr": OPTIMIZER.rate * role_rule.rate_multiplier,
                "weight_decay": OPTIMIZER.weight_decay * role_rule.decay_multiplier,
                "eps": OPTIMIZER.epsilon * role_rule.epsilon_multiplier,
            }
        )
    reference_optimizer = torch.optim.AdamW(groups, betas=(OPTIMIZER.beta1, OPTIMIZER.beta2))
    for step in range(STEPS):
        for index, (name, parameter) in enumerate(model.named_parameters()):
            assert parameter.grad is not None
            parameter.grad.copy_(gradients(100 * step + index, parameter))
            reference[name].grad = parameter.grad.clone()
        optimizer.step(step, torch.tensor([OPTIMIZER.rate]))
        reference_optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, reference[name], rtol=1e-5, atol=1e-7)


def test_members_have_their_own_rates() -> None:
    _, flat, optimizer = build(3)
    before = flat.values_MP.clone()
    flat.gradients_MP.fill_(1.0)
    optimizer.step(0, torch.tensor([0.01, 0.0, 0.02]))
    change_M = (flat.values_MP - before).abs().sum(dim=1)
    assert change_M[1] == 0
    readout = flat.columns["readout.weight"]
    undecayed = (flat.values_MP - before)[:, flat.columns["embedding.weight"]]
    torch.testing.assert_close(undecayed[2], 2 * undecayed[0], rtol=1e-4, atol=1e-6)
    assert readout.stop > readout.start


def test_norms_and_embeddings_never_decay() -> None:
    model, flat, optimizer = build(1, replace(OPTIMIZER, weight_decay=0.5))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    flat.gradients_MP.zero_()
    optimizer.step(0, torch.tensor([0.1]))
    for name, parameter in model.named_parameters():
        decays = role_of(name) in (Role.HIDDEN, Role.READOUT)
        assert torch.equal(parameter, before[name]) != decays, name


def test_clip_equals_torch_and_is_per_member() -> None:
    model, flat, optimizer = build(2, replace(OPTIMIZER, gradient_clip=1.0))
    for index, parameter in enumerate(model.parameters()):
        assert parameter.grad is not None
        parameter.grad.copy_(gradients(index, parameter))
        parameter.grad[1] *= 1e-4  # far below the limit: must not change
    small = flat.gradients_MP[1].clone()
    expected = [gradients(index, parameter)[0].clone() for index, parameter in enumerate(model.parameters())]
    leaves = [torch.zeros_like(gradient, requires_grad=True) for gradient in expected]
    for leaf, gradient in zip(leaves, expected, strict=True):
        leaf.grad = gradient
    norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
    norms_M = optimizer.clip()
    assert norms_M[0].item() == pytest.approx(norm.item(), rel=1e-5)
    assert torch.equal(flat.gradients_MP[1], small)
    for parameter, leaf in zip(model.parameters(), leaves, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad[0], leaf.grad, rtol=1e-5, atol=1e-8)


def test_parameters_are_aligned_views_of_one_segment() -> None:
    model, flat, _ = build(2)
    assert flat.values_MP.shape[1] % ALIGNMENT == 0
    covered = torch.zeros(flat.values_MP.shape[1], dtype=torch.int64)
    for segment in flat.segments:
        covered[segment.columns] += 1
        assert segment.columns.start % ALIGNMENT == 0
    assert torch.equal(covered, torch.ones_like(covered))
    for name, parameter in model.named_parameters():
        columns = flat.columns[name]
        assert parameter.data_ptr() == flat.values_MP[:, columns].data_ptr()
        (owner,) = [s for s in flat.segments if s.columns.start <= columns.start and columns.stop <= s.columns.stop]
        expected = rule(role_of(name), MODEL, 1)
        assert owner.rule.rate_multiplier == expected.rate_multiplier, name
        assert owner.rule.decay_multiplier == expected.decay_multiplier, name
        assert owner.rule.epsilon_multiplier == expected.epsilon_multiplier, name
