"""Texts to measure with, made of a list of words by chance, always the same for the same seed.

Lengths follow a real mix: passages of documentation and encyclopaedias as retrieval cuts them, and
the questions asked of them. Only the quantiles of their lengths in MiniLM's tokens are kept here.
"""

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import pairwise

# Token lengths at these shares of a real collection of 5,269 passages and 4,183 questions.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
PASSAGES = (18, 64, 85, 115, 139, 183, 217, 241, 260, 339, 395, 482, 510)
QUERIES = (4, 8, 9, 10, 11, 12, 13, 15, 16, 18, 21, 24, 36)
WITHIN = 250  # tokens by estimate; the longest that MiniLM reads whole is 256

_WORDS = """
a about above account across action add address after again against agreement air all almost
alone along already also although always among amount analysis ancient and animal another answer
any appear application approach area argument around arrive article as ask at author available
average away back balance bank base battery be because become before begin behind believe below
better between bird black blood blue board boat body book border both bottom branch bread break
bridge bright bring broad build building burn bus business but buy by cable calculate call can
capital car care carry case cause cell central century certain chain change channel chapter
character charge cheap check child choice church circle citizen city claim class clean clear
climate close cloud coast code cold collect college colour column combine come common community
company compare complete computer concern condition configuration connect consider contain
continue control cook copy corner correct cost could council country course court cover create
crop cross culture current customer cut data date day deal death debate decide deep default
defence degree deliver demand deny department depend describe desert design detail determine
develop device die difference difficult digital dinner direction disc discover disease distance
distribute divide do document door double doubt down draw dream drive drop dry during each early
earth east easy eat economy edge education effect effort egg either election electric element
else emerge empire employ empty encourage end endpoint energy engine enough enter entire
environment equal error escape especially estimate even evening event ever every evidence exact
example except exist expect experience explain express extend eye face fact factor fail fall
family famous far farm fast father favour feature federal feed feel few field fight figure file
fill film final find fine finish fire firm first fish fit fix flat floor flow flower fly focus
follow food foot for force foreign forest forget form former forward found free fresh friend
from front fruit fuel full function fund further future game garden gas general generation get
give glass go gold good government grain grass great green ground group grow guard guess guide
habit half hall hand happen hard harvest have he head health hear heart heat heavy help her here
hero high hill his history hold home hope horse hospital host hot hour house how however human
hundred ice idea identify if image impact important improve in include increase indeed index
industry influence inform inside instance instead institution interest into invent iron island
issue it item join journey judge jump just keep key kind king kitchen know label labour lack
lady lake land language large last late laugh law lay lead learn least leave left legal length
less let letter level library lie life light like limit line link list listen little live local
log long look lose loss low machine main make man many map mark market master material matter
may mean measure medical meet member memory mention message metal method middle might mile
military milk mill mind minister minute miss model modern moment money month moon more morning
most mother motion mountain mouth move much museum music must name narrow nation native nature
near necessary need neighbour network never new news next night no noise none normal north not
note nothing notice now number object observe ocean of off offer office often oil old on once
one only open operate opinion or orange order organise origin other our out output over own
owner oxygen package page paint pair palace paper parameter parent park part partner party pass
past path patient pattern pay peace people per percent perform perhaps period person phone
phrase physical picture piece place plain plan planet plant plate play please point poison
police policy poor popular population port position possible post pot power practice prepare
present press pressure pretty prevent price print private problem process produce product
program project promise proof proper protect prove provide public pull purpose push put quality
quarter queen query question queue quick quiet quite race radio rain raise range rate rather
reach read ready real reason receive recent record red reduce refer region relation release
religion remain remember remove repeat replace reply report request require research resource
response rest result return rice rich ride right ring rise river road rock role roll roof room
root round route row rule run safe salt same sand save say scale school science sea search
season second secret section see seed seem select sell send sense sentence separate series serve
server service set settle seven several shade shape share she sheep ship shop short should show
side sign silver similar simple since sing single sister sit site size skill sleep slow small
smoke snow so social soft soil soldier some son song soon sound source south space speak special
speed spend spirit spot spread spring square stage stand standard star start state station stay
steam steel step still stone stop store storm story straight strange stream street string strong
structure student study style subject such sudden sugar suggest summer sun supply support sure
surface surprise sweet swim symbol system table take talk target task tax teach team technology
tell temperature ten term test text than that the their them theory there therefore these they
thick thin thing think third this those though thought thousand thread three through throw time
title to today together token tomorrow tone too tool top total touch toward tower town track
trade tradition train transfer travel treat tree trial true trust try tunnel turn two type under
understand union unit university until up update upon upper use usual valley value variable
various vector version very view village virus visit voice volume vote wait walk wall want war
warm was wash watch water wave way weak wealth weapon weather week weight well west what wheel
when where whether which while white who whole whose why wide wife wild will win wind window
wine winter wish with within without woman wonder wood word work world worry would write wrong
year yellow yesterday yet young zero zone
"""
WORDS = _WORDS.split()

_SPOKEN = "ka ro mi tel son dra vek lin po shu gar ne ti lor ban que fri os tu zen"
_SYLLABLES = _SPOKEN.split()


def text(chance: random.Random, tokens: int) -> str:
    """Compose a text of about so many of MiniLM's tokens, special tokens included."""
    left, words = max(1, tokens - 2), []
    while left > 0:
        kind = chance.random()
        if kind < 0.90 or left < 4:
            word, cost = chance.choice(WORDS), 1
        elif kind < 0.95:
            word, cost = str(chance.randrange(10_000)), 2
        else:
            word, cost = "".join(chance.choices(_SYLLABLES, k=3)), 4
        if chance.random() < 0.1 and left > cost:
            word, cost = f"{word}{chance.choice(',.;:')}", cost + 1
        words.append(word)
        left -= cost
    return " ".join(words)


def texts(quantiles: tuple[int, ...], seed: str, longest: int | None = None) -> Iterator[str]:
    """Give texts without end, whose lengths are distributed as ``quantiles`` say."""
    chance = random.Random(seed)
    spans = list(pairwise(quantiles))
    while True:
        share = chance.random()
        at = min(bisect(SHARES, share) - 1, len(spans) - 1)
        low, high = spans[at]
        tokens = chance.randint(low, high)
        yield text(chance, tokens if longest is None else min(tokens, longest))
