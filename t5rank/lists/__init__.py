"""Builds folders of training and evaluation lists: `t5rank lists`.

A *source* (`sources`) gives blocks of queries and makes the lists of a block; `shards` writes one
block to its file; `building` does so for all, here or, in `beam`, on many machines. What a list
holds depends on the seed and its query alone: shard size, workers, order and interruptions do not
change it.
"""
