"""Initial values from a seed, the same on every device and in every fleet."""

from collections.abc import Sequence

import torch

from windtunnel.models.parametrization import Role, role_of, rule
from windtunnel.models.transformer import Transformer


@torch.no_grad()
def initialize(model: Transformer, seeds: Sequence[int]) -> None:
    """Fill every parameter of member m from its own generator, seeded with `seeds[m]`.

    Values are drawn on the CPU in float32, parameter by parameter in the order of `named_parameters()`, and copied to
    the device of the model: they depend on the configuration and the seed alone.

    Raises ValueError unless there is one seed per member, and for a parameter without a role.
    """
    members = model.embedding.weight.shape[0]
    if len(seeds) != members:
        raise ValueError(f"{len(seeds)} seeds for a fleet of {members} members: give one seed per member")
    roles = {name: role_of(name) for name, _ in model.named_parameters()}
    for member, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in model.named_parameters():
            values = parameter[member]
            std = rule(roles[name], model.config, fan_in=values.shape[0]).initial_std
            if std > 0:
                values.copy_(torch.randn(values.shape, generator=generator) * std)
            else:
                values.fill_(1.0 if roles[name] is Role.VECTOR else 0.0)
