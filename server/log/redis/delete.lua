-- KEYS: the documents, a stream. ARGV: prefix of the keys of bodies, key. Returns how many were deleted.
local found = 0
for _, document in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
	if document[2][2] == ARGV[2] then
		found = found + redis.call('XDEL', KEYS[1], document[1])
	end
end
redis.call('DEL', ARGV[1] .. ARGV[2])
return found
