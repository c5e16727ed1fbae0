"""JSON lines, the client's side: commands become request lines, reply lines results.

Rule: no IO, as on the server's side. No reply is trusted after one that is not of this protocol.
"""
