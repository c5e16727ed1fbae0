"""The journal: what happened to the keys of a store, on files, so that it can be done again.

Rule: what a reply has shown, a power cut does not take back (`--fsync always`). Whatever is read is
checked, and damage is reported, never served.
"""
