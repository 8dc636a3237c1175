"""What runs inside Redis. The head is the larger of head + 1 and Redis's clock in microseconds."""

from typing import Final

_NEXT: Final = """
local function next_head(old)
  local t = redis.call('TIME')
  return string.format('%.0f', math.max(tonumber(old) + 1, t[1] * 1000000 + t[2]))
end
local old = redis.call('HGET', KEYS[1], 'head') or '0'
"""

TAKE: Final = (
    _NEXT
    + """
-- ARGV: how many gaps to keep. Returns all fields of the shard, with its new head.
local head = next_head(old)
local gaps = redis.call('HGET', KEYS[1], 'gaps') or ''
gaps = gaps .. old .. '-' .. head .. ' '
local _, n = string.gsub(gaps, ' ', '')
while n > tonumber(ARGV[1]) do
  gaps = string.sub(gaps, string.find(gaps, ' ') + 1)
  n = n - 1
end
redis.call('HSET', KEYS[1], 'head', head, 'gaps', gaps)
return redis.call('HGETALL', KEYS[1])
"""
)
"""KEYS: shard."""

COMMIT: Final = (
    _NEXT
    + """
-- ARGV: the head that the writer knows, and a MessagePack of
-- {place, states, gone, scores, timers, stopped, records, trimmed}. All lists are flat.
if old ~= ARGV[1] then return {0, old} end
local p = cmsgpack.unpack(ARGV[2])
local head = next_head(old)

local function each(flat, size, command, key)
  for i = 1, #flat, size do
    redis.call(command, key, unpack(flat, i, math.min(i + size - 1, #flat)))
  end
end

each(p[2], 1000, 'HSET', KEYS[2])
each(p[3], 1000, 'HDEL', KEYS[2])
for _, one in ipairs(p[4]) do
  if #one == 1 then redis.call('DEL', one[1]) else redis.call('HSET', unpack(one)) end
end
each(p[5], 1000, 'ZADD', KEYS[3])
each(p[6], 1000, 'ZREM', KEYS[3])
each(p[8], 1000, 'HDEL', KEYS[4])
for i, record in ipairs(p[7]) do
  redis.call('HSET', KEYS[4], string.format('%020.0f:%04d:%020.0f', tonumber(head), i - 1, tonumber(old)), record)
end
redis.call('HSET', KEYS[1], 'head', head, 'place', p[1])
return {1, head}
"""
)
"""KEYS: shard, state, timers, outbox."""

WRITE: Final = (
    _NEXT
    + """
-- ARGV: the head that the writer knows, and a MessagePack of commands.
if old ~= ARGV[1] then return {0, old} end
local head = next_head(old)
for _, command in ipairs(cmsgpack.unpack(ARGV[2])) do redis.call(unpack(command)) end
redis.call('HSET', KEYS[1], 'head', head)
return {1, head}
"""
)
"""KEYS: learner."""
