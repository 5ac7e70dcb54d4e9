"""When a run is evaluated (no torch)."""

from windtunnel.train.config.config import RunConfig

# An evaluated token costs about .3 of a trained one. The first milestone at eight times the evaluation tokens, then
# every doubling, keeps evaluation below 5 % of a run, at token counts that every run of a study shares whatever its
# size or horizon.
FIRST_MILESTONE = 8


def milestone_steps(
    evaluation_tokens: int, tokens_per_step: int, total_steps: int, interval_tokens: int | None = None
) -> list[int]:
    """Step counts at which a run is evaluated: common token milestones, multiples of the interval, then its end."""
    milestone, steps = FIRST_MILESTONE * evaluation_tokens, set()
    while (step := -(-milestone // tokens_per_step)) < total_steps:
        steps.add(step)
        milestone *= 2
    if interval_tokens is not None:
        multiples = range(interval_tokens, total_steps * tokens_per_step, interval_tokens)
        steps |= {-(-tokens // tokens_per_step) for tokens in multiples}
    return [*sorted(steps - {total_steps}), total_steps]


def milestones_of(config: RunConfig) -> list[int]:
    return milestone_steps(
        config.data.evaluation_tokens,
        config.tokens_per_step,
        config.schedule.total_steps,
        config.logging.evaluation_interval_tokens,
    )
