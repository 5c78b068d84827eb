"""Embedding files: chunks, a journal that survives any end, shards, an estimate.

Knows files and embedders by their contracts; which ones they are is not decided here.
"""

from emblem.job.embedding import Manner, embed_chunk
from emblem.job.estimate import Estimate, estimate
from emblem.job.finish import Places, errors_of, sidecar_of
from emblem.job.journal import Journal
from emblem.job.run import Job, claim, complete, identity, run
from emblem.job.shards import merge
from emblem.job.values import Choices, Failure, NumberFormat, Progress, Shard, Tally

__all__ = [
    "Choices",
    "Estimate",
    "Failure",
    "Job",
    "Journal",
    "Manner",
    "NumberFormat",
    "Places",
    "Progress",
    "Shard",
    "Tally",
    "claim",
    "complete",
    "embed_chunk",
    "errors_of",
    "estimate",
    "identity",
    "merge",
    "run",
    "sidecar_of",
]
