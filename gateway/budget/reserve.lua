-- KEYS[1] holds when the bucket is full again, in microseconds. ARGV[1] is what a
-- token costs, ARGV[2] how far ahead of time it may be drawn, ARGV[3] how long a
-- token may be waited for. Answers whether one was taken, and the microseconds until
-- it may be used; or, when none was taken, those for which there is none.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local cost, ahead, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = tonumber(redis.call('GET', KEYS[1])) or now
-- A clock that was set back, or a limit that was raised, must lock nobody out.
full = math.min(math.max(full, now), now + ahead + most + cost)
local wait = math.max(full - ahead - now, 0)
if wait > most then
	return {0, wait}
end
full = full + cost
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return {1, wait}
