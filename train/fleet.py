"""One program that trains M runs of one shape at once; a single run is the fleet of one.

Members share shape, batch size and number of steps. Each has its own learning rate, schedule, seed and data order.
Every operation has a leading member axis and never mixes members, so a member's losses do not depend on its companions.

Shapes: M members, B sequences, T positions, S steps.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as distributed

from windtunnel.models.initialization import initialize
from windtunnel.models.transformer import Transformer
from windtunnel.train.batches import Batches
from windtunnel.train.config.config import RunConfig
from windtunnel.train.device import Numerics, Ranks
from windtunnel.train.errors import InputError
from windtunnel.train.flat_parameters import FlatParameters
from windtunnel.train.optimizer import AdamW
from windtunnel.train.schedules import multiplier

PARAMETERS = "parameters/"  # prefix of the model's parameters in a checkpoint


def check_same_shape(configs: Sequence[RunConfig]) -> None:
    """Raise InputError unless the configurations differ only in learning rate, schedule, seed and labels, and have
    equal steps.
    """
    common = _without_member_settings(configs[0], configs[0])
    for config in configs[1:]:
        is_same = _without_member_settings(config, configs[0]) == common
        if not is_same or config.schedule.total_steps != configs[0].schedule.total_steps:
            raise InputError(
                "the runs of a fleet may differ only in rate, schedule and seed and must have equal steps; "
                "train them separately"
            )


def _without_member_settings(config: RunConfig, first: RunConfig) -> RunConfig:
    """`config` with what may differ between members taken from `first`, or empty."""
    return replace(
        config,
        seed=first.seed,
        schedule=first.schedule,
        optimizer=replace(config.optimizer, rate=first.optimizer.rate),
        logging=replace(config.logging, checkpoint_steps=(), group=None, tags=()),
    )


class Fleet:
    """Model, parameters, optimizer and learning rates of M members. `step` makes one update of all of them."""

    def __init__(self, configs: Sequence[RunConfig], numerics: Numerics, ranks: Ranks) -> None:
        check_same_shape(configs)
        self.configs = configs
        self.numerics = numerics
        self.ranks = ranks
        self.device = numerics.torch_device(ranks)
        config = configs[0]
        model = Transformer(config.model, members=len(configs), compute_dtype=numerics.compute_dtype)
        initialize(model, [member.seed for member in configs])
        self.model = model.to(self.device)
        # A member's parameters are one row of the buffer, so a parameter of several members is not contiguous. Its
        # gradient has the same layout and is accumulated in place, which torch warns about.
        warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")
        self.flat = FlatParameters(self.model)
        self.optimizer = AdamW(self.flat, config.optimizer)
        self._loss = torch.compile(self.model.loss) if numerics.compile else self.model.loss
        # Multiplied in float64 on the host and used in float32, so that a trunk and its branch get the same bits.
        step_S = np.arange(config.schedule.total_steps)
        self.rates_SM = np.stack([c.optimizer.rate * multiplier(c.schedule, step_S) for c in configs], axis=1).astype(
            np.float32
        )
        self._rates_SM = torch.from_numpy(self.rates_SM).to(self.device)

    def step(self, step: int, batches: Batches) -> torch.Tensor:
        """Make update number `step` (from 0). Returns (2, M) on the device: loss before the update, and gradient norm
        before clipping.
        """
        flat, z_loss = self.flat, self.configs[0].model.z_loss
        inputs_MBT, targets_MBT = batches.at(step)
        tokens = self.configs[0].tokens_per_step
        flat.reduced.zero_()
        micro = self.numerics.micro_batch_sequences
        for begin in range(0, inputs_MBT.shape[1], micro):
            part = slice(begin, begin + micro)
            nats_MBT, log_partition_MBT = self._loss(inputs_MBT[:, part], targets_MBT[:, part])
            # Each micro-batch and rank adds its share of the mean over the whole batch, so their number does not
            # change the mathematics.
            loss_M = _sum_per_member(nats_MBT) / tokens
            objective_M = loss_M
            if z_loss > 0:
                objective_M = loss_M + z_loss * _sum_per_member(log_partition_MBT.square()) / tokens
            objective_M.sum().backward()  # type: ignore[no-untyped-call]
            flat.losses_M += loss_M.detach()
        if self.ranks.world_size > 1:
            distributed.all_reduce(flat.reduced)
        norms_M = self.optimizer.clip()
        self.optimizer.step(step, self._rates_SM[step])
        return torch.stack([flat.losses_M, norms_M])

    def member_state(self, member: int) -> dict[str, torch.Tensor]:
        """Parameters and moments of one member, on the CPU. With configuration and step they decide all later steps."""
        named = self.flat.member_tensors(self.flat.values_MP[member])
        state = {PARAMETERS + name: tensor.detach().cpu().contiguous() for name, tensor in named}
        state["first_moment"] = self.optimizer.first_MP[member].cpu()
        state["second_moment"] = self.optimizer.second_MP[member].cpu()
        return state

    def load_member_state(self, member: int, state: dict[str, torch.Tensor]) -> None:
        """Restore what `member_state` returned."""
        with torch.no_grad():
            for name, tensor in self.flat.member_tensors(self.flat.values_MP[member]):
                tensor.copy_(state[PARAMETERS + name])
            self.optimizer.first_MP[member] = state["first_moment"].to(self.device)
            self.optimizer.second_MP[member] = state["second_moment"].to(self.device)


def _sum_per_member(values_MBT: torch.Tensor) -> torch.Tensor:
    # One reduction per member, so that rounding does not depend on the number of members.
    return torch.stack([values_BT.sum() for values_BT in values_MBT])
