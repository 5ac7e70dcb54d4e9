"""The schema of a study file: its family of runs, its held-out targets, and the laws fixed before any target trains.

`windtunnel.sweeps.study.load` reads such a file.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from windtunnel.models.family import parse_count
from windtunnel.train.config.schema import Count

Scalar = str | int | float | bool | None
MAX_RANGE_POINTS = 1000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _parse_number(value: Any) -> Any:
    """Reads `25k` and `1e-3` as numbers and refuses `true`."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return float(parse_count(value))
    return value


Number = Annotated[float, BeforeValidator(_parse_number), Field(gt=0, allow_inf_nan=False)]


class LogRange(_Strict):
    """`{from: 25k, to: 400k, points: 5}`: a geometric sequence with both ends. Values are whole where both ends are."""

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    points: int = Field(ge=2, le=MAX_RANGE_POINTS)

    def values(self) -> list[Scalar]:
        ratio = (math.log(self.last) - math.log(self.first)) / (self.points - 1)
        inner = [self.first * math.exp(ratio * index) for index in range(1, self.points - 1)]
        are_whole = self.first.is_integer() and self.last.is_integer()
        values = [self.first, *inner, self.last]
        return [round(value) for value in values] if are_whole else [float(f"{value:.6g}") for value in values]


Values = Annotated[list[Scalar | list[Scalar]], Field(min_length=1)] | LogRange | Scalar  # an inner list is one value


class Block(_Strict):
    """Runs of a grid (the product of its lists), of a list of rows (settings that belong together), or of the product
    of both. `where` keeps the runs for which a condition on the resolved run is true.
    """

    grid: dict[str, Values] = {}
    rows: Annotated[list[dict[str, Scalar]], Field(min_length=1)] | None = None
    where: str | None = None

    @model_validator(mode="after")
    def _check_keys(self) -> "Block":
        if not self.grid and self.rows is None:
            raise ValueError("a block needs a grid or rows")
        duplicates = sorted({key for row in self.rows or () for key in row} & set(self.grid))
        if duplicates:
            raise ValueError(f"{duplicates[0]} is in the grid and in the rows: keep one")
        return self


class CurveAnalysis(_Strict):
    """Schedule laws fitted to the loss curves of the family, which predict the curve of every target. The first law
    makes the study's prediction.
    """

    laws: Annotated[list[str], Field(min_length=1)]
    losses: Literal["training", "validation"] = "validation"
    objective: str | None = None  # None: the default of curve fits


class Analysis(_Strict):
    """What is fitted, fixed before the targets train: laws of final losses, laws of curves, or both. The first law
    makes the study's prediction. All laws are sealed, scored and ranked.
    """

    laws: list[str] = []
    curves: CurveAnalysis | None = None
    objective: str | None = None  # None: the default of each law
    where: str | None = None  # the rows of the family that are fitted
    columns: str | None = None  # the columns for N, D and C
    # The rows held out in the backtest; None: expanding cuts over compute. `hold` is the older name.
    holdout: str | None = Field(default=None, validation_alias=AliasChoices("holdout", "hold"))

    @model_validator(mode="before")
    @classmethod
    def _check_aliases(cls, content: Any) -> Any:
        if isinstance(content, dict) and {"hold", "holdout"} <= set(content):
            raise ValueError("hold: the older name of holdout, which is given too: keep holdout")
        return content

    @model_validator(mode="after")
    def _check_laws(self) -> "Analysis":
        if not self.laws and self.curves is None:
            raise ValueError("an analysis names laws, of final losses (laws) or of whole curves (curves)")
        for laws in (self.laws, self.curves.laws if self.curves else []):
            duplicates = sorted({law for law in laws if laws.count(law) > 1})
            if duplicates:
                raise ValueError(f"laws: {duplicates[0]} is named twice: keep one")
        return self


class Budget(_Strict):
    """Limits of a study. `windtunnel.sweeps.planning.budget` describes where each is enforced."""

    tokens: Count | None = None
    flops: Number | None = None
    hours: Number | None = None  # wall-clock, with all workers of the machine
    disk_gigabytes: Number | None = None  # workers wait for free space


class Study(_Strict):
    """The content of a study file."""

    title: str
    fixed: dict[str, Scalar | list[Scalar]] = {}  # settings of every run
    family: Annotated[list[Block], Field(min_length=1)]
    targets: list[Block] = []
    analysis: Analysis | None = None
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _check_targets(self) -> "Study":
        if self.targets and self.analysis is None:
            raise ValueError("targets need an analysis: name the laws before they are trained")
        return self
