"""Search by vectors: a folder of them, exact and approximate search, and upload to Qdrant."""

VECTORS_PER_SHARD = 16_384  # 50 MB of 768 float32; what an interruption loses at most
