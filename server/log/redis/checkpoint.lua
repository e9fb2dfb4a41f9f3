-- Keeps a state, unless a later one is kept, and removes old entries.
--
-- KEYS: log, meta, state. ARGV: sequence, digest, entries to retain, 1 if data follows, epoch of the
-- sequence, data. Returns 0 if the state differs from the one that is kept and did not come, and 2 in
-- another epoch: a call that comes late must not count as what the entries of this one have led to.
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[5] then
	return 2
end
local kept = redis.call('HMGET', KEYS[3], 'upto', 'digest')
local upto = tonumber(kept[1] or '0')
if upto < tonumber(ARGV[1]) and ARGV[4] ~= '1' and kept[2] ~= ARGV[2] then
	return 0
end
-- What is removed must be older than the checkpoint: with so few entries behind it, it is. This
-- comes first: a Redis without room allows it, and then what comes behind it in the script.
local head = tonumber(redis.call('HGET', KEYS[2], 'head') or '0')
if head - math.max(upto, tonumber(ARGV[1])) <= tonumber(ARGV[3]) / 2 then
	redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
end
if upto < tonumber(ARGV[1]) then
	if ARGV[4] == '1' then
		redis.call('HSET', KEYS[3], 'upto', ARGV[1], 'digest', ARGV[2], 'data', ARGV[6])
	else
		redis.call('HSET', KEYS[3], 'upto', ARGV[1])
	end
end
return 1
