"""Which run to start first: the one with the longest path still before the study's end."""

from sweeps.plan import Plan, PlannedRun


def critical_paths(plan: Plan) -> dict[str, float]:
    """FLOPs (6 N D) from the start of each run to the end of the last that waits for it, by id.

    A run that goes on from another's checkpoint waits for that step only, not for the other's end.
    """
    longest: dict[str, float] = {}
    for run in reversed(plan.runs):  # parents come before their branches in a plan
        longest[run.run_id] = max(longest.get(run.run_id, 0.0), _flops(run, run.new_tokens))
        if run.parent is not None:
            parent = plan.by_id[run.parent]
            tokens = (run.parent_step - parent.parent_step) * parent.config.tokens_per_step
            through = _flops(parent, tokens) + longest[run.run_id]
            longest[run.parent] = max(longest.get(run.parent, 0.0), through)
    return longest


def _flops(run: PlannedRun, tokens: int) -> float:
    return 6.0 * run.parameters.total * tokens
