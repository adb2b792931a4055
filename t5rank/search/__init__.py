"""Search by vectors: a folder of them, exact and approximate search, and upload to Qdrant."""
