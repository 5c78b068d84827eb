"""What tokens cost: the price that was configured for a model, in whole billionths a token."""

from collections.abc import Iterable
from fnmatch import fnmatchcase


class Prices:
    """Prices by the models' names. ``rates`` has a glob and its billionths a token, in order.

    The first glob that a name matches is the one that counts; a name that matches none costs
    nothing. Upper and lower case differ.
    """

    def __init__(self, rates: Iterable[tuple[str, int]] = ()) -> None:
        self._rates = tuple(rates)
        self._known: dict[str, int] = {}  # the names that are asked for are the served ones

    def per_token(self, model: str) -> int:
        """Give a model's price, in billionths a token."""
        found = self._known.get(model)
        if found is None:
            found = next((rate for glob, rate in self._rates if fnmatchcase(model, glob)), 0)
            self._known[model] = found
        return found

    def cost(self, model: str, tokens: int) -> int:
        """Give what so many tokens of a model cost, in billionths."""
        rate = self._known.get(model)
        return (self.per_token(model) if rate is None else rate) * tokens
