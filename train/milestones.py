"""When a run is evaluated (no torch)."""

# An evaluated token costs about .3 of a trained one. The first milestone at eight times the evaluation tokens, then
# every doubling, keeps evaluation below 5 % of a run, at token counts that every run of a study shares whatever its
# size or horizon.
FIRST_MILESTONE = 8


def milestone_steps(evaluation_tokens: int, tokens_per_step: int, total_steps: int) -> list[int]:
    """Step counts at which a run is evaluated: common token milestones, then its end."""
    milestone, steps = FIRST_MILESTONE * evaluation_tokens, []
    while (step := -(-milestone // tokens_per_step)) < total_steps:
        steps.append(step)
        milestone *= 2
    return [*steps, total_steps]
