"""A computation recorded once and replayed on other values, without Python, autograd or an allocator in between.

`record` writes down what runs below autograd, as the `program`; `clean` removes what need not run again; `arena`
finds a place for each buffer; `run` replays.
"""
