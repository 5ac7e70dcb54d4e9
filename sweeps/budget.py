"""A study's budget against what its plan needs."""

from sweeps.study import Budget


def exceeded(budget: Budget, tokens: int, flops: float, hours: float | None, disk_bytes: int) -> list[str]:
    """Each line of the budget that is gone beyond, in words. Hours that are not known exceed nothing."""
    needs = {"tokens": float(tokens), "flops": flops, "hours": hours, "disk_gigabytes": disk_bytes / 1e9}
    return [
        f"{name} {needed:.4g} of {float(allowed):.4g}"
        for name, needed in needs.items()
        if (allowed := getattr(budget, name)) is not None and needed is not None and needed > allowed
    ]
