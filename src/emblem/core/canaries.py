"""Canaries: texts whose vectors tell whether a deployment gives those of a space.

They are of about 1, 200, 300, 600 and 2,000 tokens and in several languages, so that another model
shows, another tokenizer, another prompt, and another rule for texts that are too long: each length
is beyond one at which models cut, and a text ends with another matter than it began with. They are
put together from the words below, the same ones every time.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from emblem.types import Kind, Reference

SHORT = 40  # tokens: what any deployment reads whole


@dataclass(frozen=True, slots=True)
class Canary:
    """A text of about ``tokens`` tokens, and what it is embedded as."""

    text: str
    tokens: int
    language: str
    kind: Kind | None = None

    def __str__(self) -> str:
        """Say which text it is, without the text."""
        what = f"the text of about {self.tokens} tokens" if self.tokens > SHORT else "a short text"
        return f"{what} in {self.language}" + (f" as a {self.kind}" if self.kind else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof showed: the least cosine to the reference, and what is wrong; None if nothing.

    ``worst`` is None where no vector could be compared.
    """

    worst: float | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Language:
    """Words of three matters: who does what and where. A sentence takes one of each."""

    name: str
    pattern: str
    between: str
    matters: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]


_ENGLISH = _Language(
    "English",
    "{} {} {}.",
    " ",
    (
        (
            ("The old captain", "A young sailor", "The cook", "The harbour pilot", "Her crew"),
            ("mended a torn sail", "watched the tide", "counted the barrels", "drew a new chart"),
            ("before the storm", "near the lighthouse", "on the eastern pier", "at first light"),
        ),
        (
            ("Our accountant", "The auditor", "A junior clerk", "The tax office", "The board"),
            ("rejected an invoice", "asked for receipts", "signed the report", "found an error"),
            ("in the third quarter", "without any notice", "after lunch", "despite the budget"),
        ),
        (
            ("The telescope", "A distant galaxy", "Each moon", "The comet", "That red planet"),
            ("reflects faint light", "turns very slowly", "bends the signal", "hides a ring"),
            ("beyond the nebula", "every twelve years", "in the infrared", "far from any star"),
        ),
    ),
)
_GERMAN = _Language(
    "German",
    "{} {} {}.",
    " ",
    (
        (
            ("Die Bäckerin", "Der Lehrling", "Mein Nachbar", "Die alte Mühle", "Unser Koch"),
            ("knetet den Teig", "bestellt frisches Mehl", "probiert das Brot", "heizt den Ofen"),
            ("vor Sonnenaufgang", "in der engen Gasse", "für das ganze Dorf", "ohne Eile"),
        ),
        (
            ("Die Zugführerin", "Der Fahrplan", "Ein Weichenwärter", "Der Nachtzug"),
            ("wartet auf das Signal", "ändert sich wieder", "meldet eine Störung", "hält an"),
            ("am Grenzbahnhof", "wegen des Schnees", "kurz nach Mitternacht", "auf Gleis neun"),
        ),
        (
            ("Das Gericht", "Die Anwältin", "Ein Zeuge", "Der Vertrag", "Die Behörde"),
            ("verlangt eine Frist", "prüft den Einspruch", "widerspricht sich", "bleibt gültig"),
            ("nach dem Urteil", "im zweiten Absatz", "trotz aller Zweifel", "zum Jahresende"),
        ),
    ),
)
_SPANISH = _Language(
    "Spanish",
    "{} {} {}.",
    " ",
    (
        (
            ("La profesora", "Un alumno", "El viejo músico", "La orquesta", "Mi hermana"),
            ("afina la guitarra", "escucha la melodía", "repite el compás", "canta en voz baja"),
            ("en el patio", "antes del concierto", "con mucha paciencia", "bajo la lluvia"),
        ),
        (
            ("El agricultor", "La cosecha", "Un tractor azul", "El río", "La cooperativa"),
            ("necesita más agua", "llega muy tarde", "cruza el valle", "pierde su valor"),
            ("durante la sequía", "cerca del molino", "a mediados de junio", "sin ninguna ayuda"),
        ),
        (
            ("La doctora", "Un paciente", "El hospital", "La vacuna", "El enfermero"),
            ("anota los síntomas", "espera su turno", "reduce la fiebre", "cambia la dosis"),
            ("por la tarde", "según el análisis", "en la sala tres", "con buenos resultados"),
        ),
    ),
)
_RUSSIAN = _Language(
    "Russian",
    "{} {} {}.",
    " ",
    (
        (
            ("Садовник", "Моя бабушка", "Старый лесник", "Соседка"),
            ("сажает яблони", "собирает грибы", "поливает розы", "кормит птиц"),
            ("за домом", "ранней весной", "у забора", "после дождя"),
        ),
        (
            ("Инженер", "Новый двигатель", "Завод", "Наш механик"),
            ("проверяет насос", "работает тише", "меняет деталь", "теряет масло"),
            ("в третьем цехе", "каждую смену", "без остановки", "на испытаниях"),
        ),
        (
            ("Шахматист", "Молодая команда", "Тренер", "Судья"),
            ("готовит ответ", "проигрывает партию", "просит перерыв", "ставит мат"),
            ("в финале", "за минуту", "перед зрителями", "вопреки прогнозу"),
        ),
    ),
)
_CHINESE = _Language(
    "Chinese",
    "{}{}{}。",
    "",
    (
        (
            ("老师傅", "年轻的茶农", "村里的孩子", "那位诗人"),
            ("在山坡上", "清晨时分", "沿着小路", "趁着雨停"),
            ("采摘新茶", "写下一首诗", "修补竹篮", "唱起山歌"),
        ),
        (
            ("数据中心", "这台服务器", "值班工程师", "新的网络"),
            ("在深夜", "为了备份", "按照计划", "由于停电"),
            ("重新启动", "降低了温度", "检查日志", "断开了连接"),
        ),
        (
            ("法院", "保险公司", "原告的律师", "仲裁员"),
            ("在月底前", "根据合同", "经过调查", "当着证人"),
            ("作出判决", "支付赔偿", "提出上诉", "拒绝了请求"),
        ),
    ),
)


def _text(language: _Language, sentences: int) -> str:
    """Write so many sentences, of each matter a third, one matter after the other."""
    written = []
    for number in range(sentences):
        who, does, where = language.matters[number * len(language.matters) // sentences]
        words = (
            who[number % len(who)],
            does[(2 * number + number // len(who)) % len(does)],
            where[(number + number // 3) % len(where)],
        )
        written.append(language.pattern.format(*words))
    return language.between.join(written)


def _long(language: _Language, sentences: int, tokens: int) -> Canary:
    return Canary(_text(language, sentences), tokens, language.name)


_WORDS = (
    Canary("Hello", 1, "English"),
    Canary("Wasser", 1, "German"),
    Canary("vida", 1, "Spanish"),
    Canary("да", 1, "Russian"),
    Canary("水", 1, "Chinese"),
    # Capitals, accents, a line break, spaces and a sign: what some make alike before they embed.
    Canary("  Ärger in CAFÉ № 7:\n\tthe Wi-Fi   didn't work → 40 % off… 🙂 ", 30, "English"),
)
_TEXTS = (
    _long(_ENGLISH, 19, 200),
    _long(_RUSSIAN, 12, 200),
    _long(_SPANISH, 20, 300),
    _long(_CHINESE, 23, 300),
    _long(_GERMAN, 34, 600),
    _long(_CHINESE, 46, 600),
    _long(_ENGLISH, 200, 2000),
)


def canaries(kinds: Iterable[Kind] = ()) -> tuple[Canary, ...]:
    """Give the texts for a model; ``kinds`` are those that it embeds differently.

    The short ones are embedded as each of them and as none, the long ones as documents.
    """
    kinds = tuple(kinds)
    if not kinds:
        return _WORDS + _TEXTS
    as_kinds = tuple(replace(one, kind=kind) for kind in kinds for one in _WORDS)
    long_as = Kind.DOCUMENT if Kind.DOCUMENT in kinds else kinds[0]
    return _WORDS + as_kinds + tuple(replace(one, kind=long_as) for one in _TEXTS)


def name_of(texts: Sequence[Canary], *, refusing: bool = False) -> str:
    """Name a set of canaries: another set has another name, so that they are never compared.

    Nor are vectors of long texts with the refusals of a model that is served ``refusing`` them.
    """
    said = "\0".join(f"{one.kind or ''}\0{one.text}" for one in texts)
    said += "\0refused" if refusing else ""
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def compare(
    texts: Sequence[Canary],
    reference: Reference,
    found: Reference,
    least: float,
    unasked: Collection[int] = (),
) -> Verdict:
    """Hold what was found to a reference of the same texts, but for those that were ``unasked``.

    The same texts must be refused, and of all others each vector's cosine be ``least`` at least,
    and its length be as near as that is for unit vectors.
    """
    wide, width = found.vectors.shape[1], reference.vectors.shape[1]
    if wide != width:
        return Verdict(None, f"its vectors have {wide} numbers, and {width} are right")
    if other := (set(reference.refused) ^ set(found.refused)) - set(unasked):
        first = min(other)
        does = ("refuses", "embedded") if first in found.refused else ("embeds", "refused")
        return Verdict(
            None, f"it {does[0]} {texts[first]}, which {reference.by or 'another'} {does[1]}"
        )
    left_out = {*reference.refused, *unasked}
    compared = [place for place in range(len(texts)) if place not in left_out]
    right, given = (
        one.vectors[compared].astype(np.float64) for one in (reference, found)
    )  # (n, width)
    lengths = np.linalg.norm(right, axis=1), np.linalg.norm(given, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # what has no direction is like nothing
        cosines = np.einsum("nd,nd->n", right, given) / (lengths[0] * lengths[1])
    worst = int(np.argmin(cosines))
    if not cosines[worst] >= least:
        return Verdict(float(cosines[worst]), _unlike(texts, compared, cosines, least))
    off = np.abs(lengths[1] / lengths[0] - 1.0)
    if off.max() > sqrt(2.0 * (1.0 - least)):
        place = int(np.argmax(off))
        what = f"its vector of {texts[compared[place]]} has length {lengths[1][place]:.4g}"
        return Verdict(float(cosines[worst]), f"{what}, and {lengths[0][place]:.4g} is right")
    return Verdict(min(1.0, float(cosines[worst])))


def _unlike(
    texts: Sequence[Canary], compared: Sequence[int], cosines: np.ndarray, least: float
) -> str:
    """Say which vectors are others, and what that may come from."""
    worst = int(np.argmin(cosines))
    wrong = [
        texts[place] for place, cosine in zip(compared, cosines, strict=True) if not cosine >= least
    ]
    said = (
        f"its vector of {texts[compared[worst]]} has cosine {cosines[worst]:.4f} to the reference, "
        f"and {least:g} is the least"
    )
    if all(one.tokens > SHORT for one in wrong):
        return f"{said}; short texts agree, so it does something else with long ones"
    if all(one.kind for one in wrong):
        return f"{said}; texts of no kind agree, so its prompts are others"
    return said
