"""Types of saved values, with the bounds that pydantic checks when a snapshot is read."""

from dataclasses import astuple
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, GetPydanticSchema
from pydantic_core import core_schema

from spikewatch.ingest.filters.settings import FILTER_NAMES
from spikewatch.model.energy.formulas import Energy
from spikewatch.service.schemas import Ratio

MAX_REAL = 1e18

Count = Annotated[int, Field(ge=0, le=2**53)]
TimeUs = Annotated[int, Field(ge=-(2**53), le=2**53)]
Real = Annotated[float, Field(ge=-MAX_REAL, le=MAX_REAL, allow_inf_nan=False)]
Operations = Annotated[float, Field(ge=0, le=MAX_REAL, allow_inf_nan=False)]
Pair = tuple[Real, Real]
"""x and y."""

DropReason = Annotated[
    str,
    Field(pattern="^(before_first_time|before_first_address|outside_sensor|reserved_word|truncated_record)$"),
]
"""Reasons of the four stream formats. Each becomes a metric label, so a snapshot cannot add others."""


FilterName = Annotated[str, Field(pattern=f"^({'|'.join(FILTER_NAMES)})$")]


def _check_energy(energy: Energy) -> Energy:
    if not all(0 <= operations <= MAX_REAL for operations in astuple(energy)):
        raise ValueError(f"{energy} is out of range; expected 0 to {MAX_REAL:g} operations")
    return energy


CheckedEnergy = Annotated[Energy, AfterValidator(_check_energy)]


def _array_from(rows: Any, dtype: type[np.generic], *columns: int) -> GetPydanticSchema:
    """Read an array [N,*columns] from a list of type `rows`, and write it as such a list."""
    return GetPydanticSchema(
        lambda _source, handler: core_schema.no_info_after_validator_function(
            lambda values: np.asarray(values, dtype).reshape(-1, *columns),
            handler.generate_schema(list[rows]),
            serialization=core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist),
        )
    )


BoxArray = Annotated[NDArray[np.float32], _array_from(tuple[Real, Real, Real, Real], np.float32, 4)]
RatioArray = Annotated[NDArray[np.float32], _array_from(Ratio, np.float32)]
CountArray = Annotated[NDArray[np.int64], _array_from(Count, np.int64)]
