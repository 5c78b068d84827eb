"""Everything that can be wrong with an answer, by name, and who can notice it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Notice(StrEnum):
    """Who can notice a fault, and what is right to do about it."""

    HARMLESS = "harmless"  # the vectors are right, so that they may be used
    VISIBLE = "visible"  # the answer itself shows it, so that its vectors must not be used
    SILENT = "silent"  # only known texts, asked for again, or a second source show it
    FAILURE = "failure"  # there is no answer


class Fault(StrEnum):
    """One way to answer wrongly. ``FAULTS`` says what each does."""

    OK = "ok"
    # the items of an answer
    REORDER = "reorder"
    SWAP = "swap"
    INDEX_ZERO = "index-zero"
    INDEX_FROM_ONE = "index-from-one"
    NO_INDEX = "no-index"
    DROP = "drop"
    EMPTY = "empty"
    DUPLICATE = "duplicate"
    REPEAT = "repeat"
    FUSE = "fuse"
    EXTRA = "extra"
    # the numbers
    NAN = "nan"
    INFINITY = "infinity"
    NULL = "null"
    ZEROS = "zeros"
    WIDE = "wide"
    NARROW = "narrow"
    RAGGED = "ragged"
    QUARTER = "quarter"
    FLOATS = "floats"
    STRINGS = "strings"
    BAD_BASE64 = "bad-base64"
    SCALED = "scaled"
    OTHER_SPACE = "other-space"
    CUT = "cut"
    # what is said beside them
    RENAMED = "renamed"
    WRONG_USAGE = "wrong-usage"
    NO_USAGE = "no-usage"
    ERROR_IN_200 = "error-in-200"
    HTML_IN_200 = "html-in-200"
    BAD_JSON = "bad-json"
    BAD_UTF8 = "bad-utf8"
    # the bytes of an answer
    TRUNCATED = "truncated"
    LENGTH_LONG = "length-long"
    LENGTH_SHORT = "length-short"
    BAD_CHUNK = "bad-chunk"
    CHUNK_CUT = "chunk-cut"
    UNASKED = "unasked"
    GZIP_BOMB = "gzip-bomb"
    BAD_GZIP = "bad-gzip"
    HUGE_HEADERS = "huge-headers"
    NOT_HTTP = "not-http"
    # time and connections
    SLOW = "slow"
    TRICKLE = "trickle"
    HANG = "hang"
    HANG_BODY = "hang-body"
    RESET = "reset"
    RESET_BODY = "reset-body"
    CLOSE = "close"
    CLOSE_IDLE = "close-idle"
    CLOSE_REUSED = "close-reused"
    # refusals
    BUSY = "429"
    BUSY_SECONDS = "429-seconds"
    BUSY_DATE = "429-date"
    BUSY_HUGE = "429-huge"
    BUSY_NEGATIVE = "429-negative"
    BUSY_GARBAGE = "429-garbage"
    ERROR_500 = "500"
    ERROR_502 = "502"
    ERROR_503 = "503"
    ERROR_529 = "529"
    BIG_ERROR = "big-error"
    KEY_ECHO = "401-echo"
    HEADER_ECHO = "500-echo"
    REDIRECT = "redirect"
    NOT_FOUND = "404"
    REFUSED = "400"


@dataclass(frozen=True, slots=True)
class About:
    """What a fault does, and who can notice it. ``several`` says that one text is not enough."""

    does: str
    notice: Notice
    several: bool = False


_H, _V, _S, _F = Notice.HARMLESS, Notice.VISIBLE, Notice.SILENT, Notice.FAILURE

FAULTS: Mapping[Fault, About] = MappingProxyType(
    {
        Fault.OK: About("answers as it should", _H),
        Fault.REORDER: About("items in another order, each with its right index", _H, True),
        Fault.SWAP: About("vectors of other texts under right-looking indices", _S, True),
        Fault.INDEX_ZERO: About("index 0 for every item", _V, True),
        Fault.INDEX_FROM_ONE: About("indices from 1", _V),
        Fault.NO_INDEX: About("items without an index", _V),
        Fault.DROP: About("one item missing", _V),
        Fault.EMPTY: About("no items at all", _V),
        Fault.DUPLICATE: About("an item twice, with its index", _V),
        Fault.REPEAT: About("the first text's vector for every text", _S, True),
        Fault.FUSE: About("two texts made one, with one vector", _V, True),
        Fault.EXTRA: About("one item more than texts", _V),
        Fault.NAN: About("a number that is NaN", _V),
        Fault.INFINITY: About("a number that is infinite", _V),
        Fault.NULL: About("null in the place of a number", _V),
        Fault.ZEROS: About("a vector of zeros", _V),
        Fault.WIDE: About("vectors with a number too many", _V),
        Fault.NARROW: About("vectors with half as many numbers", _V),
        Fault.RAGGED: About("one vector shorter than the others", _V),
        Fault.QUARTER: About("a byte for every number where base64 is asked for", _V),
        Fault.FLOATS: About("numbers where base64 is asked for", _H),
        Fault.STRINGS: About("numbers written as strings", _V),
        Fault.BAD_BASE64: About("a character in base64 that is none of its alphabet", _V),
        Fault.SCALED: About("vectors of three times their length", _V),
        Fault.OTHER_SPACE: About("vectors of another model of the same width", _S),
        Fault.CUT: About("texts cut to 16 words without saying so", _S),
        Fault.RENAMED: About("the name of another model beside right vectors", _V),
        Fault.WRONG_USAGE: About("a usage below zero", _H),
        Fault.NO_USAGE: About("no usage", _H),
        Fault.ERROR_IN_200: About("an error object with status 200", _V),
        Fault.HTML_IN_200: About("a page of HTML with status 200", _V),
        Fault.BAD_JSON: About("JSON that ends too early", _V),
        Fault.BAD_UTF8: About("bytes that are no UTF-8 within the JSON", _V),
        Fault.TRUNCATED: About("half of the body, then the end of the connection", _F),
        Fault.LENGTH_LONG: About("a content-length beyond the body, then the end", _F),
        Fault.LENGTH_SHORT: About("a content-length before the end of the body", _V),
        Fault.BAD_CHUNK: About("chunks of a length that is no number", _F),
        Fault.CHUNK_CUT: About("chunks without the last one, then the end", _F),
        Fault.UNASKED: About("a second answer, of another space, that nobody asked for", _H),
        Fault.GZIP_BOMB: About("16 MB of spaces in 17 kB of gzip", _V),
        Fault.BAD_GZIP: About("bytes that are called gzip and are none", _V),
        Fault.HUGE_HEADERS: About("2 MB of headers", _F),
        Fault.NOT_HTTP: About("a greeting of a mail server", _F),
        Fault.SLOW: About("a right answer after a while", _H),
        Fault.TRICKLE: About("a right answer byte by byte, for ever", _F),
        Fault.HANG: About("nothing at all, and the connection stays", _F),
        Fault.HANG_BODY: About("headers and half of the body, and the connection stays", _F),
        Fault.RESET: About("the connection reset before an answer", _F),
        Fault.RESET_BODY: About("the connection reset within the body", _F),
        Fault.CLOSE: About("the connection closed before an answer", _F),
        Fault.CLOSE_IDLE: About("a right answer, and then the connection closed", _H),
        Fault.CLOSE_REUSED: About("no answer on a connection that was used before", _H),
        Fault.BUSY: About("429 without Retry-After", _F),
        Fault.BUSY_SECONDS: About("429 with Retry-After: 1", _F),
        Fault.BUSY_DATE: About("429 with a date in a second", _F),
        Fault.BUSY_HUGE: About("429 with Retry-After: 86400", _F),
        Fault.BUSY_NEGATIVE: About("429 with Retry-After: -5", _F),
        Fault.BUSY_GARBAGE: About("429 with Retry-After: soon", _F),
        Fault.ERROR_500: About("500 with a page of HTML", _F),
        Fault.ERROR_502: About("502 with a page of HTML", _F),
        Fault.ERROR_503: About("503 with Retry-After: 1", _F),
        Fault.ERROR_529: About("529 with a page of HTML", _F),
        Fault.BIG_ERROR: About("500 with a page of 10 MB", _F),
        Fault.KEY_ECHO: About("401 with the key that was sent, word for word", _F),
        Fault.HEADER_ECHO: About("500 with every header that was sent", _F),
        Fault.REDIRECT: About("307 to another host", _F),
        Fault.NOT_FOUND: About("404 in OpenAI's form", _F),
        Fault.REFUSED: About("400 in OpenAI's form", _F),
    }
)
