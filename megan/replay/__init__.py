"""A computation recorded once and replayed on other values, without Python, autograd or an allocator in between.

`record` keeps the operations that run below autograd, as a `program`. `clean` removes those that need not run again.
`lower` translates them to the native program (megan/ops/program.cpp), element-wise ones with `loops`; `merge` combines
additions with other operations. `arena` assigns memory to each buffer. `run` makes the calls, with `words` for the
native program and `call` for the operations of torch that remain.
"""
