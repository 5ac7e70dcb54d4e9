import pytest
import torch

from windtunnel.models.initialization import initialize
from windtunnel.models.parametrization import Role, role_of, rule
from windtunnel.models.transformer import Transformer


def values(config, seeds):
    model = Transformer(config, len(seeds))
    initialize(model, seeds)
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_member_depends_on_its_seed_alone(model_config):
    config = model_config(qk_norm=True, parametrization_readout_std=0.3)
    fleet, alone = values(config, [7, 8, 9]), values(config, [9])
    for name, value in fleet.items():
        assert torch.equal(value[2:], alone[name]), name
        assert role_of(name) is Role.VECTOR or not torch.equal(value[0], value[1]), name


def test_global_generator_is_not_used(model_config):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = values(model_config(), [7])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert all(torch.equal(first[name], value) for name, value in values(model_config(), [7]).items())


@pytest.mark.parametrize("name", ["standard", "mup", "completep"])
def test_initial_scale_follows_the_rule(model_config, name):
    config = model_config(
        width=64,
        head_count=4,
        vocabulary_size=512,
        parametrization_name=name,
        parametrization_readout_std=0.3,
    )
    for parameter_name, value in values(config, [0, 1]).items():
        role = role_of(parameter_name)
        if role is Role.VECTOR:
            assert torch.equal(value, torch.ones_like(value))
        else:
            expected = rule(role, config, fan_in=value.shape[1]).initial_std
            assert value.std().item() == pytest.approx(expected, rel=0.03), parameter_name
            assert abs(value.mean().item()) < 0.03 * expected, parameter_name


def test_default_readout_is_zero(model_config):
    assert torch.count_nonzero(values(model_config(), [3])["readout.weight"]) == 0


def test_wrong_number_of_seeds_is_an_error(model_config):
    with pytest.raises(ValueError, match="2 seeds for a fleet of 3 members"):
        initialize(Transformer(model_config(), 3), [0, 1])


def test_parameter_without_a_role_is_an_error(model_config):
    model = Transformer(model_config())
    model.register_parameter("bias", torch.nn.Parameter(torch.full((1, 3), 5.0)))
    with pytest.raises(ValueError, match="'bias' has no role"):
        initialize(model, [0])


def test_golden_numbers_do_not_change(model_config):
    """A seed always gives the same model: these numbers may change only with a major version."""
    config = model_config(qk_norm=True, parametrization_readout_std=0.5)
    model = Transformer(config)
    initialize(model, [2026])
    assert model.embedding.weight[0, 0, :3].tolist() == pytest.approx([-0.1839104, 0.7296398, 0.6241669], abs=1e-6)
    tokens = torch.arange(24).reshape(1, 2, 12) * 7 % config.vocabulary_size
    nats, log_partition = model.loss(tokens, tokens.roll(-1, -1))
    assert nats.mean().item() == pytest.approx(7.7627425, rel=1e-5)
    assert log_partition.mean().item() == pytest.approx(7.4832873, rel=1e-5)
    nats.mean().backward()
    golden_gradient_norms = {
        "embedding.weight": 1.1005152,
        "blocks.0.attention_norm.gain": 0.7581732,
        "blocks.0.attention.query_key_value.weight": 3.9406064,
        "blocks.0.attention.key_norm.gain": 0.2732606,
        "blocks.0.feedforward.down.weight": 3.4879458,
        "readout.weight": 1.4250319,
    }
    for name, norm in golden_gradient_norms.items():
        assert model.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-5), name
