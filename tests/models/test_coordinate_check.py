"""Activations move by the same amount at every width (muP) and depth (residual factor), measured by training."""

from functools import cache
from statistics import linear_regression

import pytest
import torch

from windtunnel.models.initialization import initialize
from windtunnel.models.parametrization import role_of, rule
from windtunnel.models.transformer import Transformer

WIDTHS = (32, 64, 128, 256)
DEPTHS = (2, 4, 8, 16)
SEEDS = (0, 1)
STEPS = 6
RATE = 2.0**-7


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """At these sizes, more threads are slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def movement(config, *, rates_follow_the_rules=True):
    """RMS change of the residual stream after the last block, and of the logits, in STEPS steps of Adam."""
    model = Transformer(config, len(SEEDS))
    initialize(model, SEEDS)
    groups = []
    for name, parameter in model.named_parameters():
        role_rule = rule(role_of(name), config, fan_in=parameter.shape[1])
        multiplier = role_rule.rate_multiplier if rates_follow_the_rules else 1.0
        groups.append({"params": [parameter], "lr": RATE * multiplier, "eps": 1e-12 * role_rule.epsilon_multiplier})
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    probe = torch.randint(config.vocabulary_size, (1, 2, 16), generator=generator).expand(len(SEEDS), -1, -1)

    stream = []
    hook = model.blocks[-1].register_forward_hook(lambda _module, _inputs, output: stream.append(output))
    with torch.no_grad():
        logits = [model(probe)]
    for _ in range(STEPS):
        # A rule to learn (each token names the next), so that gradients agree from step to step.
        tokens = torch.randint(config.vocabulary_size, (1, 4, 16), generator=generator).expand(len(SEEDS), -1, -1)
        loss = model.loss(tokens, (3 * tokens + 1) % config.vocabulary_size)[0].mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits.append(model(probe))
    hook.remove()
    return tuple((last - first).square().mean().sqrt().item() for first, *_, last in (stream, logits))


def slopes(configs, sizes, **kwargs):
    """Growth exponents (stream, logits) of the movement with size: 0 is transfer."""
    movements = [movement(config, **kwargs) for config in configs]
    logs = torch.tensor(movements).log().T.tolist()
    return tuple(linear_regression(torch.tensor(sizes).log().tolist(), log).slope for log in logs)


def wide(model_config, name):
    return [
        model_config(width=w, head_count=w // 16, feedforward_width=8 * w // 3 // 8 * 8, parametrization_name=name)
        for w in WIDTHS
    ]


def deep(model_config, **overrides):
    return [model_config(depth=depth, **overrides) for depth in DEPTHS]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mup", "completep"])
def test_movement_does_not_depend_on_width(model_config, name):
    stream, logits = slopes(wide(model_config, name), WIDTHS)
    assert abs(stream) < 0.25
    assert abs(logits) < 0.35


@pytest.mark.slow
def test_logits_of_the_standard_parametrization_move_more_in_wider_models(model_config):
    stream, logits = slopes(wide(model_config, "standard"), WIDTHS)
    assert abs(stream) < 0.25  # the hidden rate follows width here too
    assert logits > 0.6


@pytest.mark.slow
def test_single_rate_moves_the_stream_of_wider_models_more(model_config):
    stream, _ = slopes(wide(model_config, "mup"), WIDTHS, rates_follow_the_rules=False)
    assert stream > 0.6


def test_movement_does_not_depend_on_depth(model_config):
    stream, logits = slopes(deep(model_config), DEPTHS)
    assert abs(stream) < 0.25
    assert abs(logits) < 0.25


@pytest.mark.slow
def test_deeper_models_move_more_without_the_residual_factor(model_config):
    stream, _ = slopes(deep(model_config, parametrization_residual_exponent=0.0), DEPTHS)
    assert stream > 0.6


@pytest.mark.slow
def test_completep_keeps_movement_constant_at_alpha_one_half_and_mup_does_not(model_config):
    completep, mup = (
        slopes(deep(model_config, parametrization_name=name, parametrization_residual_exponent=0.5), DEPTHS)[0]
        for name in ("completep", "mup")
    )
    assert abs(completep) < 0.1
    assert mup > 0.2
