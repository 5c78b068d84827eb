"""Pure functions over numpy: tokenise, pack, pool, check. No disk, no clock, no runtime."""
