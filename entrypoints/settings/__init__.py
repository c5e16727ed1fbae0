"""The settings of both programs: where they are given, what they can be, how they go together.

`sources` reads the command line, the environment and the file; `kinds` says what one setting can
be; `rules` puts addresses together and refuses what contradicts; `secret` reads passwords.
"""
