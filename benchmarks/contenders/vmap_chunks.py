"""torch.func as in `vmap`, eight tasks at a time, which stay nearer to the cache (of 1 to 32 the fastest in a trial)."""

from benchmarks.contenders import vmap


class Contender(vmap.Contender):
    chunk = 8
