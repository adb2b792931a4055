"""Builds folders of training and evaluation lists: `t5rank lists`.

A *source* (`sources`) gives blocks of queries and makes the lists of a block. `shards` writes a
block to its file, and `building` writes all blocks on this machine; `beam` writes them on many.
What a list holds depends on nothing but the seed and its query. The size of the shards, the number
of workers, the order and interruptions do not change it.
"""
