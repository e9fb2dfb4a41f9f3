-- Returns the entries behind an id, with their ids, and 1 if there may be others behind them. The
-- bytes are counted before anything is sent.
--
-- KEYS: inbox. ARGV: id, most entries, most bytes of their fields.
local list, id, left = {}, ARGV[1], tonumber(ARGV[3])
while #list < tonumber(ARGV[2]) do
	local entry = redis.call('XRANGE', KEYS[1], '(' .. id, '+', 'COUNT', 1)[1]
	if not entry then
		return { list, 0 }
	end
	for _, text in ipairs(entry[2]) do
		left = left - #text
	end
	if left < 0 then
		break
	end
	list[#list + 1] = entry
	id = entry[1]
end
return { list, 1 }
