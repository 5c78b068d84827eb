"""Texts that show what rounding costs a model: written for this, in several languages, and code."""

from collections.abc import Sequence

SENTENCES = (
    "How do I reset my password?",
    "opening hours library sunday",
    "The invoice was paid twice, and the bank has not returned the second amount yet.",
    "A storm closed the mountain pass for three days in March.",
    "best way to store tomatoes",
    "The committee voted to postpone the decision until the audit is complete.",
    "Cut the onions finely and let them soften in butter before adding the rice.",
    "What is the difference between a virus and a bacterium?",
    "The enzyme breaks lactose down into glucose and galactose.",
    "Her second novel is set in a harbour town that the railway never reached.",
    "return policy damaged parcel",
    "The patient reported a dull pain in the left knee after climbing stairs.",
    "Turn the valve a quarter turn clockwise until the pressure falls below two bar.",
    "Unemployment fell to its lowest level since the survey began.",
    "The tenant shall give notice in writing at least three months in advance.",
    "Who invented the telephone?",
    "Light from the galaxy took eleven billion years to reach the telescope.",
    "The goalkeeper saved two penalties, and the match was decided in extra time.",
    "My card was declined although there is enough money in the account.",
    "The museum shows etchings and woodcuts from the collection of a shipowner.",
    "Soil that holds too much water keeps roots from breathing.",
    "The new line will shorten the journey between the two cities to forty minutes.",
    "cheap flights lisbon may",
    "An index on the foreign key would make this join much faster.",
    "Bees find their way back by the position of the sun.",
    "The choir rehearses on Thursdays in the old customs house.",
    "Please cancel my subscription at the end of this month.",
    "The court found that the clause had no effect.",
    "Mix the epoxy only in small amounts, for it hardens within ten minutes.",
    "Prices for copper rose after two mines stopped work.",
    "Der Vertrag verlängert sich um ein Jahr, wenn niemand kündigt.",
    "Wie lange dauert die Lieferung nach Österreich?",
    "Die Brücke wurde wegen Rissen im Beton für Lastwagen gesperrt.",
    "Le train de nuit part à vingt-deux heures de la voie trois.",
    "Comment puis-je changer mon adresse de facturation ?",
    "Les pommes de terre doivent cuire vingt minutes dans l'eau salée.",
    "La biblioteca cierra los domingos y los días de fiesta.",
    "¿Cuánto cuesta enviar un paquete a Chile?",
    "El río creció tanto que inundó los campos de la orilla.",
    "Il museo è chiuso per lavori fino alla fine di aprile.",
    "Quanto tempo serve per ottenere un passaporto?",
    "A fatura vence no dia dez de cada mês.",
    "De winkel is op maandag gesloten.",
    "Pociąg do Gdańska jest opóźniony o pół godziny.",
    "Поезд прибывает на второй путь.",
    "Как восстановить доступ к учётной записи?",
    "المكتبة مفتوحة حتى الساعة الثامنة.",
    "كيف يمكنني تغيير كلمة المرور؟",
    "पुस्तकालय रविवार को बंद रहता है।",
    "図書館は日曜日に休みます。",
    "パスワードを忘れた場合はどうすればいいですか。",
    "图书馆星期日不开放。",
    "如何更改我的收货地址?",
    "도서관은 일요일에 문을 닫습니다.",
    "def area(width, height):\n    return width * height",
    "SELECT name, count(*) FROM visits GROUP BY name ORDER BY 2 DESC LIMIT 10;",
    "for (let i = 0; i < items.length; i++) { total += items[i].price; }",
    'error: cannot find module "./config" imported from src/main.ts',
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "git rebase --onto main feature~3 feature",
)

# Built-in, and so fit to be stored beside a model: they prove a kernel wherever it is loaded.
CANARIES = tuple(SENTENCES[index] for index in (0, 4, 8, 12, 23, 30, 46, 51, 54, 58))

FEWEST, MOST = 20, 400


def built_in() -> tuple[str, ...]:
    """Give sentences, queries and paragraphs: each sentence alone, and several joined."""
    count = len(SENTENCES)
    joined = []
    for start in range(count):
        # Steps that share no factor with the count lead through all of them, in another order each.
        step = (7, 11, 13, 17)[start % 4]
        length = 2 + start % 9
        joined.append(" ".join(SENTENCES[(start + step * n) % count] for n in range(length)))
    return (*SENTENCES, *joined)


def spread(texts: Sequence[str], most: int = MOST) -> tuple[str, ...]:
    """Give at most so many of the texts, from all over, each once."""
    different = list(dict.fromkeys(texts))
    step = max(1, -(-len(different) // most))
    return tuple(different[::step])
