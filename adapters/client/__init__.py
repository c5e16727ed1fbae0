"""The client's side: connections to a server, pools of them, and Python values as JSON.

Rule: nothing here imports gevent. What waits, the sockets, queues and sleep of threads or of
greenlets, is given to it; asyncio's is imported where it is used.
"""
