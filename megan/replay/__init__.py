"""A computation recorded once and replayed on other values, without Python, autograd or an allocator in between.

`record` writes down what runs below autograd, as the `program`; `clean` removes what need not run again; `lower` says
it in operations of the native program (megan/ops/program.cpp), element-wise ones with `loops`; `arena` finds a place
for each buffer; `run` makes the calls, with `words` for the native program and `call` for what is left to torch.
"""
