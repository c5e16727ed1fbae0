"""The programs that the engine runs, each as one moment.

Rule: a program checks everything before its first write, so that an error leaves no effect.

What a key has is told apart by its deadline, as `PEXPIRETIME` returns it, and its bytes. Large
numbers are compared as the text that Lua makes of them.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple


class Script(NamedTuple):
    """A program, and the name that the engine has it by."""

    source: str
    sha: str


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode()).hexdigest())


ABSENT, PRESENT, ANYTHING = b"-2", b"+", b"*"
"""In place of a deadline: the key must be missing, must be there, may be anything."""

NOTHING, REMOVE, KEEP_TTL, NO_TTL = b"=", b"-", b"k", b"n"
"""What to do with a key; a number is its ttl in milliseconds."""

READ = _script("""
local found = {}
for _, name in ipairs(KEYS) do
    found[#found + 1] = redis.call('GET', name)
    found[#found + 1] = string.format('%.0f', redis.call('PEXPIRETIME', name))
    found[#found + 1] = redis.call('PTTL', name)
end
return found
""")
"""For each name its bytes, its deadline and its milliseconds left."""

COMMIT = _script("""
if ARGV[1] ~= '' and #redis.call('KEYS', ARGV[1]) ~= tonumber(ARGV[2]) then
    return 0
end
for number, name in ipairs(KEYS) do
    local due = ARGV[4 * number - 1]
    if due == '+' then
        if redis.call('EXISTS', name) == 0 then
            return 0
        end
    elseif due ~= '*' then
        if string.format('%.0f', redis.call('PEXPIRETIME', name)) ~= due then
            return 0
        end
        if due ~= '-2' and redis.call('GET', name) ~= ARGV[4 * number] then
            return 0
        end
    end
end
for number, name in ipairs(KEYS) do
    local act, data = ARGV[4 * number + 1], ARGV[4 * number + 2]
    if act == '-' then
        redis.call('UNLINK', name)
    elseif act == 'k' then
        redis.call('SET', name, data, 'KEEPTTL')
    elseif act == 'n' then
        redis.call('SET', name, data)
    elseif act ~= '=' then
        redis.call('SET', name, data, 'PX', act)
    end
end
return 1
""")
"""Stores and removes if nothing has changed: the arguments are a pattern and how many names match
it, or two empty ones; then for each name its deadline and bytes as they must be, what to do, and
the bytes to store. Returns whether it did."""

PAGE = _script("""
local cursor, pattern, left, most, room = ARGV[1], ARGV[2], unpack(ARGV, 3)
left, most, room = tonumber(left), tonumber(most), tonumber(room)
local names, step, growth = {}, 1, 2
repeat
    local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', step)
    if #names > 0 and #names + #found[2] > most then
        if step == 1 then
            break
        end
        step, growth = math.floor(step / 2), 1
    else
        for _, name in ipairs(found[2]) do
            names[#names + 1] = name
            room = room - #name
        end
        cursor, left = found[1], left - step
        step = math.min(growth * step, left)
    end
until cursor == '0' or left <= 0 or room <= 0
return {cursor, names}
""")
"""Names that match a pattern, from a cursor on, and the next cursor: it looks at so many names,
returns so many, unless the first ones are in one bucket, and ends once they have so many bytes. It
looks further each time, and less far where that is too much."""

LIST = _script("return redis.call('KEYS', ARGV[1])")
"""The names that match a pattern."""

COUNT = _script("return #redis.call('KEYS', ARGV[1])")
"""How many names match a pattern."""

CLEAR = _script("""
local names = redis.call('KEYS', ARGV[1])
for first = 1, #names, 1000 do
    redis.call('UNLINK', unpack(names, first, math.min(first + 999, #names)))
end
return #names
""")
"""Removes the names that match a pattern; returns how many there were."""
