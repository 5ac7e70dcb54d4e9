"""AdamW over flat parameters, with a learning rate per member and multipliers per role.

Loshchilov & Hutter 2019, arXiv 1711.05101: decoupled decay, p <- p - rate * decay * p, with rate and decay multiplied
by the rule of the parameter's role. The caller passes the rate of every step. The only state is the two moments.

Shapes: M members, P flat parameters.
"""

import torch

from windtunnel.train.config.config import OptimizerConfig
from windtunnel.train.flat_parameters import FlatParameters


class AdamW:
    """Updates the values of a `FlatParameters` from its gradients, in place."""

    def __init__(self, flat: FlatParameters, config: OptimizerConfig) -> None:
        self.flat = flat
        self.config = config
        self.first_MP = torch.zeros_like(flat.values_MP)
        self.second_MP = torch.zeros_like(flat.values_MP)
        self._scratch_MP = torch.empty_like(flat.values_MP)

    @torch.no_grad()
    def clip(self) -> torch.Tensor:
        """Scale each member's gradient to at most the configured norm. Returns (M,) norms before clipping, on the
        device.
        """
        # One reduction per member, over one row: rounding does not depend on the number of members.
        norms_M = torch.stack([torch.linalg.vector_norm(row_P) for row_P in self.flat.gradients_MP])
        if self.config.gradient_clip > 0:
            scale_M = (self.config.gradient_clip / (norms_M + 1e-6)).clamp(max=1.0)
            self.flat.gradients_MP.mul_(scale_M[:, None])
        return norms_M

    @torch.no_grad()
    def step(self, step: int, rates_M: torch.Tensor) -> None:
        """Make update number `step` (from 0). rates_M: learning rates, float32 on the device."""
        config, flat = self.config, self.flat
        correction1 = 1 - config.beta1 ** (step + 1)
        correction2 = (1 - config.beta2 ** (step + 1)) ** 0.5
        self.first_MP.lerp_(flat.gradients_MP, 1 - config.beta1)
        self.second_MP.mul_(config.beta2).addcmul_(flat.gradients_MP, flat.gradients_MP, value=1 - config.beta2)
        # m/c1 / (sqrt(v)/c2 + eps) = (c2/c1) * m / (sqrt(v) + eps*c2): the same update in fewer passes over memory.
        update_MP = torch.sqrt(self.second_MP, out=self._scratch_MP)
        for segment in flat.segments:
            columns, rule = segment.columns, segment.rule
            rate_M1 = (rates_M * rule.rate_multiplier)[:, None]
            values, update = flat.values_MP[:, columns], update_MP[:, columns]
            update.add_(config.epsilon * rule.epsilon_multiplier * correction2)
            torch.div(self.first_MP[:, columns], update, out=update)
            decay = config.weight_decay * rule.decay_multiplier
            if decay > 0:
                values.mul_(1 - rate_M1 * decay)
            values.addcmul_(update, rate_M1 * (-correction2 / correction1))
