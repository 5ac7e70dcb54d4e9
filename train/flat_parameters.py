"""All parameters of a fleet in one (M, P) buffer, and all gradients in another.

The module's parameters become views of the buffer, ordered so that those with equal optimizer rules are neighbors. So
an optimizer step is a few operations on long rows instead of a loop over tensors, clipping is one norm per member,
ranks reduce gradients and losses in one collective, and a checkpoint of one member is one row.

Shapes: M members, P flat parameters of one member (with padding).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from windtunnel.models.parametrization import RoleRule, role_of, rule
from windtunnel.models.transformer import Transformer

# Every parameter starts on a 64-byte boundary in every member's row, so that vector kernels treat all members alike. A
# member's numbers could otherwise depend on its companions.
ALIGNMENT = 16  # float32 elements


@dataclass(frozen=True)
class Segment:
    """Neighboring columns with one optimizer rule."""

    columns: slice
    rule: RoleRule


class FlatParameters:
    """The buffers of one model, and the columns of each parameter and of each optimizer rule."""

    def __init__(self, model: Transformer) -> None:
        named = list(model.named_parameters())
        self.members = named[0][1].shape[0]
        rules = {name: _rule(model, name, parameter) for name, parameter in named}
        order = {key: index for index, key in enumerate(dict.fromkeys(_key(rules[name]) for name, _ in named))}
        named.sort(key=lambda item: order[_key(rules[item[0]])])  # stable: module order within a rule

        self.columns: dict[str, slice] = {}
        self.segments: list[Segment] = []
        width = 0
        for name, parameter in named:
            size = parameter[0].numel()
            self.columns[name] = slice(width, width + size)
            start, width = width, -(-(width + size) // ALIGNMENT) * ALIGNMENT
            if self.segments and _key(self.segments[-1].rule) == _key(rules[name]):
                self.segments[-1] = Segment(slice(self.segments[-1].columns.start, width), self.segments[-1].rule)
            else:
                self.segments.append(Segment(slice(start, width), rules[name]))

        device = named[0][1].device
        self.values_MP = torch.zeros(self.members, width, device=device)
        # The losses are stored behind the gradients, so that one collective reduces both.
        self.reduced = torch.zeros(self.members * width + self.members, device=device)
        self.gradients_MP = self.reduced[: self.members * width].view(self.members, width)
        self.losses_M = self.reduced[self.members * width :]
        with torch.no_grad():
            for name, parameter in named:
                columns = self.columns[name]
                self.values_MP[:, columns] = parameter.reshape(self.members, -1)
                parameter.data = self.values_MP[:, columns].view_as(parameter)
                parameter.grad = self.gradients_MP[:, columns].view_as(parameter)
        self._shapes = {name: parameter.shape[1:] for name, parameter in named}

    def member_tensors(self, row_P: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """One member's row as named tensors in their own shapes."""
        for name, columns in self.columns.items():
            yield name, row_P[columns].view(self._shapes[name])


def _rule(model: Transformer, name: str, parameter: torch.Tensor) -> RoleRule:
    fan_in = parameter.shape[1] if parameter.dim() == 3 else 1
    return rule(role_of(name), model.config, fan_in)


def _key(rule: RoleRule) -> tuple[float, float, float]:
    return rule.rate_multiplier, rule.decay_multiplier, rule.epsilon_multiplier
