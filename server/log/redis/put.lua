-- KEYS: the documents, a stream. ARGV: prefix of the keys of bodies, key, head, body, how many documents and
-- how many bytes of bodies are kept. Returns how many were dropped.
local bytes = #ARGV[4]
local all = redis.call('XRANGE', KEYS[1], '-', '+')
local kept = {}
for _, document in ipairs(all) do
	local fields = document[2] -- k, key, h, head, n, bytes
	if fields[2] == ARGV[2] then
		redis.call('XDEL', KEYS[1], document[1])
	else
		kept[#kept + 1] = document
		bytes = bytes + tonumber(fields[6])
	end
end
redis.call('SET', ARGV[1] .. ARGV[2], ARGV[4])
redis.call('XADD', KEYS[1], '*', 'k', ARGV[2], 'h', ARGV[3], 'n', #ARGV[4])
local dropped = 0
while dropped < #kept and (#kept - dropped + 1 > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])) do
	dropped = dropped + 1
	local fields = kept[dropped][2]
	redis.call('XDEL', KEYS[1], kept[dropped][1])
	redis.call('DEL', ARGV[1] .. fields[2])
	bytes = bytes - tonumber(fields[6])
end
return dropped
