"""The role of every parameter, which decides initial scale, learning rate, decay and epsilon (no torch).

Three parametrizations, with m = width / base_width and l = depth / base_depth, for AdamW with decoupled decay. The
residual factor l ** -alpha (alpha = residual_exponent) and the logit factor are in `windtunnel.models.configuration`.

| role                     | standard            | mup          | completep                           |
|--------------------------|---------------------|--------------|-------------------------------------|
| embedding: initial s.d.  | embedding_std       | the same     | the same                            |
| hidden: initial s.d.     | fan_in ** -1/2      | the same     | the same                            |
| readout: initial s.d.    | readout_std/sqrt(m) | readout_std  | readout_std                         |
| vector: initial value    | 1                   | 1            | 1                                   |
| hidden: rate             | 1 / m               | 1 / m        | l ** (alpha - 1) / m                |
| vector: rate             | 1                   | 1            | l ** (alpha - 1)                    |
| embedding, readout: rate | 1                   | 1            | 1                                   |
| hidden: decay            | m                   | m            | m                                   |
| readout: decay           | 1                   | 1            | 1                                   |
| embedding, vector: decay | 0                   | 0            | 0                                   |
| epsilon                  | 1                   | 1            | 1/m; hidden, vector: l ** -alpha / m|
| logits                   | 1                   | 1 / m        | 1 / m                               |

Sources. muP: Yang et al. 2022 (Tensor Programs V, arXiv:2203.03466), Table 8 in the form of the authors' `mup` package.
CompleteP: Dey et al. 2025 (arXiv:2505.01618), Table 1 and equation 40, with the correction of arXiv:2512.22382 that the
authors' code includes (epsilon follows width outside the blocks too, where gradients also fall as 1 / m).

The standard column keeps the standard readout, whose logits move more in wider models, but its hidden rate also follows
width: one global rate would be badly tuned at most widths, and Everett et al. 2024 (arXiv:2407.05872) find that the
per-layer rate 1 / width makes the standard parametrization transfer. Initial scale by fan-in is the same rule under all
three (muP's sigma ** 2 / m with sigma fixed at base width).

Hidden decay rises by m because rate * decay, the inverse of the averaging time in steps that AdamW gives the weights
(Wang and Aitchison 2024, arXiv:2405.13698), must not depend on width.

One difference: the published code gives the last norm, which is outside the blocks, rate factor 1 and the epsilon of
the readout. Here it is a vector like the others; at alpha = 1 the rates agree.
"""

import re
from dataclasses import dataclass
from enum import Enum

from windtunnel.models.configuration import ModelConfig


class Role(Enum):
    """The function of a parameter. The value is the name in records."""

    EMBEDDING = "embedding"
    """Maps tokens to the residual stream; also the readout if the two are tied."""
    HIDDEN = "hidden"
    """A matrix between two sides that both grow with width."""
    READOUT = "readout"
    """Maps the residual stream to logits (untied models only)."""
    VECTOR = "vector"
    """The gain of a norm."""


@dataclass(frozen=True)
class RoleRule:
    """Initial scale of one parameter, and multipliers of the run's learning rate, decay and epsilon."""

    initial_std: float
    """Standard deviation of the initial normal draw; 0 means no draw (readout: zeros, vector: ones)."""
    rate_multiplier: float
    decay_multiplier: float
    epsilon_multiplier: float


_PATTERNS = {
    Role.EMBEDDING: r"embedding\.weight",
    Role.HIDDEN: r"blocks\.\d+\.(attention\.(query_key_value|output)|feedforward\.(gate_and_up|up|down))\.weight",
    Role.READOUT: r"readout\.weight",
    Role.VECTOR: r"(blocks\.\d+\.(attention_norm|feedforward_norm|attention\.(query|key)_norm)|final_norm)\.gain",
}


def role_of(parameter_name: str) -> Role:
    """The role of a parameter, by its name in `Transformer.named_parameters()`.

    Raises ValueError for a name without a role, so that no new parameter is trained by accident.
    """
    for role, pattern in _PATTERNS.items():
        if re.fullmatch(pattern, parameter_name):
            return role
    raise ValueError(
        f"parameter {parameter_name!r} has no role: add its name to the patterns of models/parametrization.py"
    )


def rule(role: Role, config: ModelConfig, fan_in: int) -> RoleRule:
    """Initial scale and multipliers of a parameter of this role.

    `fan_in` is the number of inputs of an output (rows of a weight of shape (in, out)); only hidden matrices use it.
    The table and its sources are in the docstring of this module.
    """
    parametrization = config.parametrization
    width_ratio, depth_ratio = config.width_ratio, config.depth_ratio
    alpha = parametrization.residual_exponent

    block_rate, block_epsilon, outer_epsilon = 1.0, 1.0, 1.0
    if parametrization.name == "completep":
        block_rate = depth_ratio ** (alpha - 1.0)
        block_epsilon = depth_ratio**-alpha / width_ratio
        outer_epsilon = 1.0 / width_ratio

    match role:
        case Role.EMBEDDING:
            return RoleRule(parametrization.embedding_std, 1.0, 0.0, outer_epsilon)
        case Role.HIDDEN:
            return RoleRule(fan_in**-0.5, block_rate / width_ratio, width_ratio, block_epsilon)
        case Role.READOUT:
            # The logit factor of muP replaces the decreasing initial scale of the standard readout.
            shrink = width_ratio**-0.5 if parametrization.name == "standard" else 1.0
            return RoleRule(parametrization.readout_std * shrink, 1.0, 1.0, outer_epsilon)
        case Role.VECTOR:
            return RoleRule(0.0, block_rate, 0.0, block_epsilon)
