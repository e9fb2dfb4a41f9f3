-- Returns what the nodes agree on, as of one moment. KEYS: log, meta, state.
-- ARGV: 1 with the state itself, 0 without.
local meta = redis.call('HMGET', KEYS[2], 'format', 'epoch', 'began', 'head', 'predecessors', 'check', 'run', 'origin')
local oldest, newest, check, last = stream(KEYS[1])
local state = redis.call('HMGET', KEYS[3], 'upto', 'digest')
local data = ''
if ARGV[1] == '1' then
	data = redis.call('HGET', KEYS[3], 'data') or ''
end
return { meta[1] or '', meta[2] or '', meta[3] or '', meta[4] or '', meta[5] or '', oldest, newest, check, state[1] or '', state[2] or '', data, last, meta[6] or '', meta[7] == run() and '1' or '', meta[8] or '' }
