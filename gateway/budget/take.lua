-- KEYS[1] holds when the bucket is full again, in microseconds. ARGV[1] is what a
-- token costs, ARGV[2] how far ahead of time it may be drawn. Answers 0 when a
-- token was taken, otherwise the microseconds until there is one.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local cost, ahead = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1])) or now
-- A clock that was set back, or a limit that was raised, must lock nobody out.
full = math.min(math.max(full, now), now + ahead + cost)
local wait = full - ahead - now
if wait > 0 then
	return wait
end
full = full + cost
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0
