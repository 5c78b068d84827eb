"""What a model will take in memory, predicted before it is loaded. Pure."""

from emblem.model import Graph, Model, Modules, Network, Sizes

_MIB = 1 << 20
_FLOAT = 4  # bytes
_ROW = 512  # tokens; the work of longer rows is counted where it is queued
_KERNELS = 96 * _MIB  # what OpenVINO keeps of the shapes that it has seen; torch's working memory
_LIBRARY = 400 * _MIB  # torch, transformers and sentence-transformers themselves


def predicted_bytes(model: Model, sizes: Sizes, *, streams: int) -> int:
    """Predict the growth of the process's resident memory once a model is loaded and used.

    Measured as the growth of VmRSS in a process of its own, in MiB, after the first text | after
    texts of many lengths (60, 200, 600 requests of up to five), beside this prediction:

    ===================================================  ====  ===============  =========
    MiniLM: 22.7 M numbers, half of them in tables        146  224, 253, 264    287
    BERT base: 85.8 M numbers, few in tables, float32     592  965              1,099
    the same, float16                                     683  1,029            1,099
    the same as ONNX, float32                             683  910 (4 lengths)  1,106
    the same as ONNX, 8 bits                              1,086  1,170            1,364
    the same as OpenVINO IR, float16                      517  826 (4 lengths)  1,103
    WordLlama: 8.2 M numbers, float16                     52   61 … 79          81
    BERT base by sentence-transformers, with the library  736  849 (12)         987
    ===================================================  ====  ===============  =========

    OpenVINO packs a matrix for rows of few tokens and again for many, and keeps the original. A
    tokenizer takes 8…18 times its file's size, a Unigram's 16…32 times.

    With two streams instead of one, MiniLM took 132…187 MiB more, BERT base 684 (RssAnon after 180
    rows of up to 200 tokens); this predicts 184 and 756.

    MiniLM with its linear layers in eight bits (10.6 M numbers) took 124 MiB, and 194 with two
    streams; this predicts 197 and 334. A number of eight bits is packed as one byte.
    """
    tokenizer = sizes.tokenizer_bytes * (32 if sizes.unigram else 10) + 8 * _MIB
    return tokenizer + _network_bytes(model.encoder, sizes, streams)


def _network_bytes(network: Network | None, sizes: Sizes, streams: int) -> int:
    if network is None:
        return _FLOAT * sizes.numbers + 24 * _MIB
    if isinstance(network, Modules):
        return _FLOAT * sizes.numbers * 3 // 2 + _LIBRARY + _KERNELS
    per_number = 15 if sizes.quantised else 3 * _FLOAT
    floats = sizes.numbers - sizes.tables - sizes.whole
    weights = per_number * floats + 3 * sizes.whole + _FLOAT * sizes.tables
    inner = 4 * network.hidden if isinstance(network, Graph) else network.intermediate
    row = _FLOAT * _ROW * (8 * network.hidden + inner + _ROW)
    alone = weights + row + _KERNELS
    if streams == 1:
        return alone
    # It is compiled once more for rows side by side: see backends/execution.py.
    return alone + 2 * _FLOAT * floats + 2 * sizes.whole + streams * row + _KERNELS
