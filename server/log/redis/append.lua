-- Appends the batches of one call. Redis runs it as a whole or not at all.
--
-- KEYS: log, meta, the last call of the node. ARGV: number of the call, epoch, newest entry
-- that the node has seen, window of idempotency keys in ms, prefix of their names, time in ms for
-- which the call is remembered, number of batches; for each: number of entries; for each: check,
-- entry, key or '', digest.
--
-- Returns what became of each batch, separated by ';': the sequence of its first entry, if
-- the others follow; or all, separated by ',', with '-' before those that were there; or '!'
-- for a key that names another content. Or 'moved'.
local last = redis.call('GET', KEYS[3])
if last then
	local colon = string.find(last, ':', 1, true)
	local number = tonumber(string.sub(last, 1, colon - 1))
	if number == tonumber(ARGV[1]) then
		return string.sub(last, colon + 1)
	elseif number > tonumber(ARGV[1]) then
		return redis.error_reply('STALE a later call of this node was appended')
	end
end
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'head', 'check')
if meta[1] ~= ARGV[2] or tonumber(meta[2]) < tonumber(ARGV[3]) then
	return 'moved'
end
local head, check = tonumber(meta[2]), meta[3]
local window, prefix = ARGV[4], ARGV[5]
local results, at = {}, 8
for batch = 1, tonumber(ARGV[7]) do
	local count = tonumber(ARGV[at])
	local first = at + 1
	at = first + 4 * count
	local old, conflict = {}, false
	for i = 0, count - 1 do
		local key = ARGV[first + 4 * i + 2]
		if key ~= '' then
			local known = redis.call('GET', prefix .. key)
			if known then
				local space = string.find(known, ' ', 1, true)
				if string.sub(known, space + 1) == ARGV[first + 4 * i + 3] then
					old[i] = string.sub(known, 1, space - 1)
				else
					conflict = true
				end
			end
		end
	end
	if conflict then
		results[batch] = '!'
	elseif next(old) then
		local all = {}
		for i = 0, count - 1 do
			if old[i] then
				all[i + 1] = '-' .. old[i]
			else
				head = head + 1
				local id = string.format('%.0f', head)
				local k = first + 4 * i
				redis.call('XADD', KEYS[1], id .. '-0', 'e', ARGV[k + 1], 'c', ARGV[k], 'p', check)
				check = ARGV[k]
				if ARGV[k + 2] ~= '' then
					redis.call('SET', prefix .. ARGV[k + 2], id .. ' ' .. ARGV[k + 3], 'PX', window)
				end
				all[i + 1] = id
			end
		end
		results[batch] = table.concat(all, ',')
	else
		results[batch] = string.format('%.0f', head + 1)
		for k = first, at - 4, 4 do
			head = head + 1
			local id = string.format('%.0f', head)
			redis.call('XADD', KEYS[1], id .. '-0', 'e', ARGV[k + 1], 'c', ARGV[k], 'p', check)
			check = ARGV[k]
			if ARGV[k + 2] ~= '' then
				redis.call('SET', prefix .. ARGV[k + 2], id .. ' ' .. ARGV[k + 3], 'PX', window)
			end
		end
	end
end
redis.call('HSET', KEYS[2], 'head', string.format('%.0f', head), 'check', check)
local result = table.concat(results, ';')
redis.call('SET', KEYS[3], ARGV[1] .. ':' .. result, 'PX', ARGV[6])
return result
