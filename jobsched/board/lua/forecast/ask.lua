-- Which jobs are asked about: some when they are placed, some while they wait. Loaded in front of the scripts that ask.
local function may_ask(what, band, now)  -- seldom enough not to cost much, however much comes
  local field = band .. ':asked:' .. what
  local last = call('HGET', key('aims'), field)
  if last and now - last < NUMBERS.ask_every_s and now >= tonumber(last) then return false end
  call('HSET', key('aims'), field, exact(now))
  return true
end

local function some(now, salt)  -- any number from 0 to 1
  return now * (salt or 7919) % 1
end

local function ask(id, at, now, least)  -- remember what a job is told, unless it is soon
  local job = entry(id)
  local raw = guess(job, call('ZRANK', key('line', job.site, job.band), on_line(id)), now)
  if not raw or raw < least or some(now, 6151) > NUMBERS.long_s / raw then return end
  if call('HLEN', key('asked')) >= NUMBERS.most_asked then return end
  local kind = kind_of(job.band, raw)
  call('HSET', key('asked'), id, table.concat({exact(at), exact(raw), kind}, ' '))
  call('ZADD', key('asked', 'due'), exact(at + raw * aim(kind, job.band, '90', raw)), id)
end

