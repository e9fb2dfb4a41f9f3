-- Begins an epoch, if the store is still in the one that the node knows.
--
-- KEYS: log, meta. ARGV: known epoch, newest entry in common ('' for whatever there is), newest
-- entry that the node has seen, next epoch, check, jump, format, most predecessors, 1 if the
-- node knows of no earlier log.
-- Returns 'begun', or 'moved'. It notes the server that has begun (run_id).
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'head', 'predecessors', 'format', 'check')
if meta[4] and tonumber(meta[4]) > tonumber(ARGV[7]) then
	return redis.error_reply('FORMAT ' .. meta[4])
end
if (meta[1] or '') ~= ARGV[1] then
	return 'moved'
end
local _, _, check, last = stream(KEYS[1])
if check == '' then
	check = meta[5] or ARGV[5]
end
local head, seen = tonumber(meta[2] or '0'), tonumber(ARGV[3])
local began = math.max(head, tonumber(string.match(last, '^%d+')) or 0, seen) + tonumber(ARGV[6])
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
local text = string.format('%.0f', began)
redis.call('HSET', KEYS[2], 'format', ARGV[7], 'epoch', ARGV[4], 'began', text, 'head', text, 'check', check, 'predecessors', table.concat(predecessors, ' '),
	'run', run())
if ARGV[9] == '1' then
	redis.call('HSET', KEYS[2], 'origin', text)
end
return 'begun'
