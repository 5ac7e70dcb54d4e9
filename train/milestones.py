"""The steps at which a run is evaluated (no torch)."""

from windtunnel.train.config.config import RunConfig

# An evaluated token costs about 0.3 of a trained one. With the first milestone at eight times the evaluation tokens,
# and a milestone at every doubling, evaluation takes less than 5 % of a run. All runs of a study share these token
# counts, whatever their size and horizon.
FIRST_MILESTONE_RATIO = 8


def milestone_steps(
    evaluation_tokens: int, tokens_per_step: int, total_steps: int, interval_tokens: int | None = None
) -> list[int]:
    """The steps of the common token milestones, of the multiples of `interval_tokens`, and of the end."""
    milestone, steps = FIRST_MILESTONE_RATIO * evaluation_tokens, set()
    while (step := -(-milestone // tokens_per_step)) < total_steps:
        steps.add(step)
        milestone *= 2
    if interval_tokens is not None:
        multiples = range(interval_tokens, total_steps * tokens_per_step, interval_tokens)
        steps |= {-(-tokens // tokens_per_step) for tokens in multiples}
    return [*sorted(steps - {total_steps}), total_steps]


def milestones_of(config: RunConfig) -> list[int]:
    """The steps at which this run is evaluated."""
    return milestone_steps(
        config.data.evaluation_tokens,
        config.tokens_per_step,
        config.schedule.total_steps,
        config.logging.evaluation_interval_tokens,
    )
