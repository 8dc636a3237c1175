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
local low = string.match(gaps, '(%d+)%-' .. old .. ' $')
if low then  -- nobody has written since it was taken last: one gap, however often that comes
  gaps = string.sub(gaps, 1, -(#low + #old + 3)) .. low .. '-' .. head .. ' '
else
  gaps = gaps .. old .. '-' .. head .. ' '
end
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
-- ARGV: the head that the writer knows, a MessagePack of {place, states, gone, scores, timers, stopped, records,
-- trimmed, budgets, words}, and the writer's name of this commit. All lists are flat.
-- Redis does not undo half a script, so all that can fail is looked at before the first write.
if old ~= ARGV[1] then return {0, old} end
local p = cmsgpack.unpack(ARGV[2])
local wrong
local function is(kind, key)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    wrong = 'WRONGTYPE ' .. key .. ' holds a ' .. found .. ', which another program wrote'
  end
end
is('hash', KEYS[1]); is('hash', KEYS[2]); is('zset', KEYS[3]); is('hash', KEYS[4]); is('hash', KEYS[5])
for _, one in ipairs(p[4]) do
  if #one > 1 then is('hash', one[1]) end
end
if wrong then return redis.error_reply(wrong) end
for i = 1, #p[9], 3 do
  local spent = tonumber(redis.call('HGET', KEYS[5], p[9][i]) or '0')
  if spent + tonumber(p[9][i + 1]) > tonumber(p[9][i + 2]) then return {2, p[9][i]} end
end
redis.call('HSET', KEYS[1], 'head', old)  -- without memory, or on a replica, this fails, and nothing is written
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
for i = 1, #p[9], 3 do redis.call('HINCRBY', KEYS[5], p[9][i], p[9][i + 1]) end
if #p[10] > 0 then redis.call('HSET', KEYS[1], unpack(p[10])) end
redis.call('HSET', KEYS[1], 'head', head, 'place', p[1], 'by', ARGV[3])
return {1, head}
"""
)
"""KEYS: shard, state, timers, outbox, budgets."""

WRITE: Final = (
    _NEXT
    + """
-- ARGV: the head that the writer knows, a MessagePack of {commands, pieces}, and the writer's name of this write.
-- Commands are SET, HSET, SADD, SREM, HDEL or UNLINK; pieces are keys that must be there, and from now on stay.
if old ~= ARGV[1] then return {0, old} end
local p = cmsgpack.unpack(ARGV[2])
local kinds = {HSET = 'hash', HDEL = 'hash', SADD = 'set', SREM = 'set'}
for _, command in ipairs(p[1]) do
  local found = redis.call('TYPE', command[2]).ok
  local wanted = kinds[command[1]] or found
  if found ~= wanted and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. command[2] .. ' holds a ' .. found .. ', which another program wrote')
  end
end
for _, piece in ipairs(p[2]) do
  if redis.call('EXISTS', piece) == 0 then return {2, piece} end
end
redis.call('HSET', KEYS[1], 'head', old)  -- without memory, or on a replica, this fails, and nothing is written
local head = next_head(old)
for _, command in ipairs(p[1]) do redis.call(unpack(command)) end
for _, piece in ipairs(p[2]) do redis.call('PERSIST', piece) end
redis.call('HSET', KEYS[1], 'head', head, 'by', ARGV[3])
return {1, head}
"""
)
"""KEYS: learner."""
