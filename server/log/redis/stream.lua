-- In front of begin.lua and look.lua. Returns the ids of the oldest and the newest entry of a
-- stream, the check of the newest one, and the newest id that the stream has ever had; '' for what
-- there is not.
local function stream(key)
	local oldest, newest, check, last = '', '', '', ''
	if redis.call('EXISTS', key) == 1 then
		local entries = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)
		if entries[1] then
			oldest = entries[1][1]
			entries = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
			newest = entries[1][1]
			local fields = entries[1][2]
			for i = 1, #fields, 2 do
				if fields[i] == 'c' then
					check = fields[i + 1]
				end
			end
		end
		local info = redis.call('XINFO', 'STREAM', key)
		for i = 1, #info, 2 do
			if info[i] == 'last-generated-id' then
				last = info[i + 1]
			end
		end
	end
	return oldest, newest, check, last
end

-- The server on which the script runs, since its start.
local function run()
	return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

