import pytest

from windtunnel.models.parametrization import Role, role_of, rule
from windtunnel.models.transformer import Transformer


@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("tied_embedding", [False, True])
def test_every_parameter_has_its_role(model_config, activation, qk_norm, tied_embedding):
    config = model_config(activation=activation, qk_norm=qk_norm, tied_embedding=tied_embedding)
    roles = {name: role_of(name) for name, _ in Transformer(config).named_parameters()}
    assert [name for name, role in roles.items() if role is Role.EMBEDDING] == ["embedding.weight"]
    assert [name for name, role in roles.items() if role is Role.READOUT] == ["readout.weight"] * (not tied_embedding)
    assert {name for name, role in roles.items() if role is Role.VECTOR} == {n for n in roles if n.endswith(".gain")}
    in_blocks = {name for name in roles if name.startswith("blocks.") and name.endswith(".weight")}
    assert {name for name, role in roles.items() if role is Role.HIDDEN} == in_blocks
    assert len(in_blocks) == 4 * config.depth


@pytest.mark.parametrize(
    "name",
    ["blocks.0.attention.output.bias", "embedding.weight.extra", "position.weight", "blocks.x.feedforward.up.weight"],
)
def test_parameter_without_a_role_is_an_error(name):
    with pytest.raises(ValueError, match="has no role"):
        role_of(name)


# Width 4 times and depth 4 times the base, fan-in 64: the printed tables, entry by entry
# (initial s.d., rate, decay, epsilon), for alpha = 1/2 so that no exponent hides.
TABLE = {
    "standard": {
        Role.EMBEDDING: (0.5, 1, 0, 1),
        Role.HIDDEN: (1 / 8, 1 / 4, 4, 1),
        Role.READOUT: (0.2 / 2, 1, 1, 1),
        Role.VECTOR: (0, 1, 0, 1),
    },
    "mup": {
        Role.EMBEDDING: (0.5, 1, 0, 1),
        Role.HIDDEN: (1 / 8, 1 / 4, 4, 1),
        Role.READOUT: (0.2, 1, 1, 1),
        Role.VECTOR: (0, 1, 0, 1),
    },
    "completep": {
        Role.EMBEDDING: (0.5, 1, 0, 1 / 4),
        Role.HIDDEN: (1 / 8, 1 / 4 / 2, 4, 1 / 4 / 2),
        Role.READOUT: (0.2, 1, 1, 1 / 4),
        Role.VECTOR: (0, 1 / 2, 0, 1 / 4 / 2),
    },
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("role", Role)
def test_rules_match_the_published_tables(model_config, name, role):
    config = model_config(
        width=128,
        head_count=8,
        depth=8,
        parametrization_name=name,
        parametrization_residual_exponent=0.5,
        parametrization_embedding_std=0.5,
        parametrization_readout_std=0.2,
    )
    role_rule = rule(role, config, fan_in=64)
    assert (
        role_rule.initial_std,
        role_rule.rate_multiplier,
        role_rule.decay_multiplier,
        role_rule.epsilon_multiplier,
    ) == pytest.approx(TABLE[name][role], rel=1e-12)


@pytest.mark.parametrize("name", TABLE)
def test_every_multiplier_is_one_at_the_base(model_config, name):
    config = model_config(parametrization_name=name)
    for role in Role:
        role_rule = rule(role, config, fan_in=32)
        assert role_rule.rate_multiplier == 1.0
        assert role_rule.epsilon_multiplier == 1.0
        assert role_rule.decay_multiplier == (1.0 if role in (Role.HIDDEN, Role.READOUT) else 0.0)


@pytest.mark.parametrize("width", [32, 64, 128])
def test_weight_averaging_time_does_not_depend_on_width(model_config, width):
    hidden = rule(Role.HIDDEN, model_config(width=width), fan_in=width)
    assert hidden.rate_multiplier * hidden.decay_multiplier == pytest.approx(1.0, rel=1e-15)
