"""Texts to embed, composed from word lists written for this file; none comes from a data set.

The same call always gives the same texts: a choice depends on a seed and on nothing else.
"""

from random import Random

SUBJECTS = (
    "the old lighthouse", "a patient gardener", "our search engine", "this small server",
    "the river delta", "every museum guide", "a quiet library", "the night train",
    "one careful surgeon", "the committee", "a broken compass", "my neighbour's cat",
)  # fmt: skip
VERBS = (
    "remembers", "measures", "quietly replaces", "explains", "has never seen", "would like to buy",
    "translates", "counts", "is afraid of", "compares", "sends back", "depends on",
)  # fmt: skip
OBJECTS = (
    "two thousand letters", "a vector of floats", "the price of bread in 1931", "photosynthesis",
    "the tallest bridge in town", "an unanswered question", "blue-green algae", "jazz records",
    "the third law of thermodynamics", "electromagnetism", "pomegranates", "a cup of coffee",
)  # fmt: skip
ENDINGS = (
    "before sunrise", "in spite of the rain", "without saying why", "for the second time",
    "as far as anyone knows", "until the budget is spent", "on the far side of the hill", "again",
)  # fmt: skip
OTHER_SCRIPTS = (
    "今天天气很好，我们去公园散步。", "向量数据库可以找到相似的文本", "図書館は静かです。", "ありがとうございます",
    "도서관에서 책을 읽었습니다", "Поезд уходит в семь часов вечера.", "Где находится музей?",
    "Το τρένο φεύγει στις επτά. ΟΔΟΣ", "المكتبة مغلقة اليوم", "أين تقع المدرسة؟", "הרכבת יוצאת בשבע",
    "नदी बहुत गहरी है", "ห้องสมุดเงียบมาก", "Thư viện rất yên tĩnh", "Die Straße führt über die Brücke",
    "L’été dernier, où étais-tu ?", "¿Dónde está la biblioteca, señor?", "Łódź żółć gęślą jaźń",
    "İstanbul'da çığ düştü", "Ünïcödé Àccênts Ñandú", "e\u0301 a\u0300 n\u0303 o\u0308", "გამარჯობა მსოფლიო",
)  # fmt: skip
EMOJI = (
    "😀",
    "🚀🚀🚀",
    "👩‍👩‍👧‍👦 family",
    "🇫🇷 🇯🇵",
    "love ❤️ it",
    "👍🏽 thanks",
    "☃ ☂ ✈",
    "🤖 beep",
    "𝔘𝔫𝔦 𝟙𝟚",
)
CODE = (
    "def add(a, b):\n    return a + b  # {n}",
    "for (int i = 0; i < {n}; ++i) {{ sum += x[i]; }}",
    "SELECT name, count(*) FROM rivers WHERE length > {n} GROUP BY 1;",
    '{{"id": {n}, "tags": ["a", "b"], "ok": true, "none": null}}',
    "<div class=\"row-{n}\"><a href='/x?y={n}&z=1'>link</a></div>",
    "git log --oneline -n {n} | grep -v '^Merge' > out.txt",
    "fn main() {{ println!(\"{{}}\", {n}u64.pow(2)); }}",
    "x = [i**2 for i in range({n}) if i % 3 == 0]",
    "Traceback (most recent call last): line {n}, in <module>: KeyError: 'k'",
)  # fmt: skip
NUMBERS = (
    "{n}", "{n}.{n}", "-{n}e-{n}", "{n}%", "${n}.99", "2024-01-{n} 12:{n}:07Z", "+49 30 {n}{n}",
    "192.168.{n}.1:8080", "https://example.org/{n}/?q=a%20b#top", "user{n}@example.org", "0x{n}ff",
    "{n}/{n}", "№{n}", "ISBN 978-{n}", "{n} km²", "½ + ¼ = {n}",
)  # fmt: skip
ODD = (
    " ", "   ", "\t", "\n\n", "\u00a0", "\u3000", "\u200b", "a\x00b", "\x07bell", "one\x1btwo", "\x7f", "\ufeffbom",
    "soft\u00adhyphen", "zero\u200bwidth", "join\u200der", "line\u2028separator", "next\x85line", "\u202ertl", "\ufffd",
    "tab\tand\nnewline\r\nmix", "  leading and trailing  ", "\ue000 private", "￼", "ﬁ ligature ﬀ", "Ⅷ roman",
    "ＦＵＬＬ ｗｉｄｔｈ", "①②③", "…", "—", "!!!", "?", ".", "' '", '""', "\\", "/", "((((", "a.b.c", "a_b-c", "C++", "C#",
)  # fmt: skip
MARKS = (
    "[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]", "[sep]", "before [SEP] after", "[CLS] start [SEP]", "a[MASK]b",
    "[SEP][SEP][SEP]", "[ SEP ]", "the [MASK] of the house", "<s>", "</s>", "<mask>", "<s> text </s>",
    "a <mask> b", "<unk> <pad>", "<|endoftext|>", "[unused1]", "##ing", "▁the", "Ġthe",
)  # fmt: skip


def sentence(chance: Random) -> str:
    """Make one sentence."""
    parts = [chance.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, ENDINGS)]
    text = " ".join(parts[: chance.choice((2, 3, 3, 4))])
    return text.capitalize() + chance.choice((".", "?", "!", "", ";"))


def paragraph(chance: Random, words: int) -> str:
    """Make a text of exactly that many words, as split at spaces."""
    found: list[str] = []
    while len(found) < words:
        found += sentence(chance).split()
    return " ".join(found[:words])


def few(seed: int, count: int = 40) -> list[str]:
    """Make a few texts of every kind, none very long: for the tiny models."""
    chance = Random(seed)
    texts = [sentence(chance) for _ in range(count // 4)]
    texts += [paragraph(chance, words) for words in (17, 28, 36, 60, 200)]
    for kind in (OTHER_SCRIPTS, EMOJI, ODD, MARKS):
        texts += chance.sample(kind, min(len(kind), count // 8))
    texts += [chance.choice(CODE).format(n=chance.randrange(500)) for _ in range(2)]
    texts += ["the", "the " * 40, "x" * 150, "MiXeD CaSe ΟΔΟΣ", "[SEP] <mask>"]
    return list(dict.fromkeys(texts))


def many(seed: int) -> list[str]:
    """Make at least 500 texts of every kind and length, to 5,000 words: for the real model."""
    chance = Random(seed)
    texts = [*OTHER_SCRIPTS, *EMOJI, *ODD, *MARKS]
    texts += [word for kind in (SUBJECTS, VERBS, OBJECTS, ENDINGS) for word in kind]
    texts += ["a", "the", "Zebra", "7", "running", "antidisestablishmentarianism", "😀" * 40]
    texts += [form.format(n=chance.randrange(1, 999)) for form in (*CODE, *NUMBERS) for _ in "ab"]
    texts += [sentence(chance) for _ in range(200)]
    texts += [sentence(chance).upper() for _ in range(10)]
    texts += [f"{chance.choice(OTHER_SCRIPTS)} {sentence(chance)}" for _ in range(30)]
    texts += [paragraph(chance, chance.randrange(12, 120)) for _ in range(50)]
    texts += ["the " * count for count in range(250, 259)]  # one token a word: around the limit
    texts += ["the " * count + sentence(chance) for count in range(246, 256, 2)]
    texts += [paragraph(chance, words) for words in (190, 220, 240, 300, 500, 1_000, 5_000)]
    texts += ["x" * 99, "x" * 101, "supercali" * 300, "词" * 600, "a\n" * 400, "12345 " * 120]
    return list(dict.fromkeys(texts))
