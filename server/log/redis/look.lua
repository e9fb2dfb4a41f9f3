-- Returns what the nodes agree on, as of one moment. KEYS: log, meta, state.
-- ARGV: 1 with the state itself, 0 without.
local meta = redis.call('HMGET', KEYS[2], 'format', 'epoch', 'began', 'head', 'predecessors', 'check', 'run')
local oldest, newest, check, last = '', '', '', ''
if redis.call('EXISTS', KEYS[1]) == 1 then
	local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
	if entries[1] then
		oldest = entries[1][1]
		entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
		newest = entries[1][1]
		local fields = entries[1][2]
		for i = 1, #fields, 2 do
			if fields[i] == 'c' then
				check = fields[i + 1]
			end
		end
	end
	local info = redis.call('XINFO', 'STREAM', KEYS[1])
	for i = 1, #info, 2 do
		if info[i] == 'last-generated-id' then
			last = info[i + 1]
		end
	end
end
local state = redis.call('HMGET', KEYS[3], 'upto', 'digest')
local data = ''
if ARGV[1] == '1' then
	data = redis.call('HGET', KEYS[3], 'data') or ''
end
return { meta[1] or '', meta[2] or '', meta[3] or '', meta[4] or '', meta[5] or '', oldest, newest, check, state[1] or '', state[2] or '', data, last, meta[6] or '', meta[7] == string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') and '1' or '' }
