"""Numbers that settings have, and their bounds."""

from typing import Annotated

from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Streams = Annotated[int, Meta(ge=0, le=256)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]  # at most a year: "inf" is no time limit
