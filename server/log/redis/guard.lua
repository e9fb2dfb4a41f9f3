-- Before append.lua on Redis 6.2, which gives scripts to its replicas and keeps them in its
-- append-only file: that the script is there does not say that an epoch has begun on this server.
if redis.call('HGET', KEYS[2], 'run') ~= string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') then
	return 'moved'
end
