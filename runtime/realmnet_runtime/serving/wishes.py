"""What a request may ask for, in its query."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from realmnet_runtime.answering.explain import HEAT_MAP_SIDE

_LARGEST_FRAME = 1 << 31


class Wishes(BaseModel):
    """Parameters of `POST /predict`; unknown ones are an error.

    Attributes:
        frame: of a DICOM file of several, from 1.
        answer_ungradable: answer an ungradable picture too.
        heat_maps: with heat maps, of the findings or of all labels.
        picture: with the picture itself, upright and small, to lay them on.
        side: most pixels of the longer side of picture and heat maps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame: Annotated[int, Field(ge=1, lt=_LARGEST_FRAME)] | None = None
    answer_ungradable: bool = False
    heat_maps: Literal["findings", "all"] | None = None
    picture: bool = False
    side: Annotated[int, Field(ge=64, le=2048)] = HEAT_MAP_SIDE
