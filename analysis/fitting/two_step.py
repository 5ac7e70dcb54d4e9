"""The fit of a law in two steps: the first predicts a loss from scale, the second what follows from that loss, such as
accuracy.

Each step is fitted to its own column of one table, so that either can be judged alone. The interval of a prediction
adds, in squares, the second step's own interval and what the first step's does to it.

Legend: Q queries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.laws.two_step import label
from windtunnel.analysis.tables.table import Table


@dataclass(frozen=True)
class Chain(Fit):
    """The fit of a law in two steps: a Fit with one Fit a step. Its points are the first step's."""

    steps: tuple[Fit, ...] = ()

    def interval(
        self, columns_at: Mapping[str, ArrayLike], level: float = 0.9, *, new_run: bool = True
    ) -> tuple[Array, Array, Array]:
        """Value, low and high at each query, (Q,) each: of a new run, or of the law alone where not `new_run`."""
        from windtunnel.analysis.prediction.prediction_interval import predict_interval

        first, second = self.steps
        loss_Q, low_loss_Q, high_loss_Q = predict_interval(first, columns_at, level, new_run=new_run)
        name = first.law.target
        value_Q, low_Q, high_Q = predict_interval(second, {name: loss_Q}, level, new_run=new_run)
        moved_2Q = np.stack([second.predict({name: ends_Q}) for ends_Q in (low_loss_Q, high_loss_Q)])
        down_Q = np.hypot(value_Q - low_Q, np.maximum(value_Q - moved_2Q.min(axis=0), 0.0))
        up_Q = np.hypot(high_Q - value_Q, np.maximum(moved_2Q.max(axis=0) - value_Q, 0.0))
        return value_Q, value_Q - down_Q, value_Q + up_Q

    def parts(self) -> tuple[Fit, ...]:
        return self.steps

    def document(self) -> dict[str, Any]:
        """As of any fit, with the document of each step."""
        return {**super().document(), "steps": [step.document() for step in self.steps]}

    def content(self) -> dict[str, Any]:
        return {**super().document(), "steps": [step.content() for step in self.steps]}

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> "Chain":
        """What `content` gave. Raises KeyError, TypeError or ValueError where it is no such thing."""
        first, second = (Fit.of_content(step) for step in content["steps"])
        return chain_of(law_named(content["law"]), first, second, content["table_digest"])


def fit_chain(
    table: Table,
    law: Law,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    profile: bool = True,
    few_points: bool = False,
    first_table: Table | None = None,
) -> Chain:
    """Both steps of `law` fitted, each with its own objective: the first to `first_table`, where it leaves out rows the
    second has. Raises InputError for values no law can be fitted to.
    """
    from windtunnel.analysis.fitting.fit import fit

    if law.steps is None:
        raise ValueError(f"law {law.name} has no steps")
    first, second = (
        fit(source, step, bootstrap=bootstrap, seed=seed, profile=profile, few_points=few_points)
        for source, step in zip((first_table or table, table), law.steps, strict=True)
    )
    return chain_of(law, first, second, table.digest)


def chain_of(law: Law, first: Fit, second: Fit, digest: str) -> Chain:
    """Two fits as one."""
    steps = (first, second)

    def merge(values: list[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            label(step.law, name, first.law, second.law): value
            for step, own in zip(steps, values, strict=True)
            for name, value in own.items()
        }

    # The step that keeps the whole from having a plain optimum: a refusal before anything else.
    worst = min(steps, key=lambda step: (step.status not in REFUSED, step.status == "converged"))
    refused = worst.status in REFUSED
    replicates = [step.replicates for step in steps if step.replicates is not None]
    return Chain(
        law=law,
        objective=second.objective,
        parameters={} if refused else merge([step.parameters for step in steps]),
        value=second.value,
        status=worst.status,
        reason="; ".join(f"{step.law.name}: {step.reason}" for step in steps if step.reason),
        not_identified=tuple(
            label(step.law, name, first.law, second.law) for step in steps for name in step.not_identified
        ),
        intervals={} if refused else merge([step.intervals for step in steps]),
        interval_method=second.interval_method,
        num_points=second.num_points,
        seconds=first.seconds + second.seconds,
        table_digest=digest,
        source=first.source,
        named=first.named,
        seed_noise=second.seed_noise,
        certificate=None,
        points=first.points,
        replicates=np.concatenate(replicates) if len(replicates) == 2 else None,
        steps=steps,
    )
