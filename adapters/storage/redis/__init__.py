"""The keys in a Valkey or Redis server, or a cluster of them, reached by redis-py.

Rule: the engine's own means make each method atomic; nothing without the prefix is touched.
"""
