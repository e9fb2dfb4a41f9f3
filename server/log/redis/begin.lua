-- Begins an epoch, if the store is still in the one that the node knows.
--
-- KEYS: log, meta. ARGV: known epoch, newest entry in common ('' for whatever there is), newest
-- entry that the node has seen, next epoch, check, jump, format, most predecessors.
-- Returns 'begun', or 'moved'. It notes the server that has begun (run_id).
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'head', 'predecessors', 'format', 'check')
if meta[4] and tonumber(meta[4]) > tonumber(ARGV[7]) then
	return redis.error_reply('FORMAT ' .. meta[4])
end
if (meta[1] or '') ~= ARGV[1] then
	return 'moved'
end
local last, check = 0, meta[5] or ARGV[5]
if redis.call('EXISTS', KEYS[1]) == 1 then
	local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
	if entries[1] then
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
			last = tonumber(string.match(info[i + 1], '^%d+'))
		end
	end
end
local head, seen = tonumber(meta[2] or '0'), tonumber(ARGV[3])
local began = math.max(head, last, seen)
local predecessors = {}
if meta[1] then
	local kept = head
	if ARGV[2] ~= '' then
		kept = math.min(kept, tonumber(ARGV[2]))
	end
	for epoch, upto in string.gmatch(meta[3] or '', '(%d+):(%d+)') do
		local bound = math.min(tonumber(upto), kept)
		predecessors[#predecessors + 1] = epoch .. ':' .. string.format('%.0f', bound)
	end
	predecessors[#predecessors + 1] = meta[1] .. ':' .. string.format('%.0f', kept)
end
while #predecessors > tonumber(ARGV[8]) do
	table.remove(predecessors, 1)
end
if began > 0 or meta[1] then
	began = began + tonumber(ARGV[6])
end
local text = string.format('%.0f', began)
redis.call('HSET', KEYS[2], 'format', ARGV[7], 'epoch', ARGV[4], 'began', text, 'head', text, 'check', check, 'predecessors', table.concat(predecessors, ' '),
	'run', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return 'begun'
