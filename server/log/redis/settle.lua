-- KEYS: inbox, refused. ARGV: how many refused entries are kept, how many ids of moved ones
-- follow, the ids; then for each refused entry its id, how many texts follow, the texts.
local at = 3
for _ = 1, tonumber(ARGV[2]) do
	redis.call('XDEL', KEYS[1], ARGV[at])
	at = at + 1
end
while at <= #ARGV do
	local count = tonumber(ARGV[at + 1])
	-- Another node may have set it aside already.
	if redis.call('XDEL', KEYS[1], ARGV[at]) == 1 then
		redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, at + 2, at + 1 + count))
	end
	at = at + 2 + count
end
return 1
