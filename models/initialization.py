"""Initial values: what a seed makes of a model, whoever trains beside it and wherever."""

from collections.abc import Sequence

import torch

from windtunnel.models.parametrization import Role, role_of, rule
from windtunnel.models.transformer import Transformer


@torch.no_grad()
def initialise(model: Transformer, seeds: Sequence[int]) -> None:
    """Fill every parameter of member m from its own generator, seeded with `seeds[m]`.

    Draws are made on the CPU in float32, parameter by parameter in the order of `named_parameters()`, and then copied
    to wherever the model lives: a member's values depend on its configuration and seed alone.

    Raises ValueError unless there is one seed for each member, or when a parameter has no role.
    """
    members = model.embedding.weight.shape[0]
    if len(seeds) != members:
        raise ValueError(f"{len(seeds)} seeds for a fleet of {members} members: give one seed for each")
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
