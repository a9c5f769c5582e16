-- Takes jobs whose task their worker does not know out of its slice, and sets them aside: in no line, so that nobody
-- who lacks the task is handed them again, until a worker of their lane knows it (see hand_on.lua). Safe to repeat.
-- ARGV     slice, then items: id, task
-- returns  how many were set aside
local record = key('slice', ARGV[1])
local site, band, jobs = unpack(call('HMGET', record, 'site', 'band', 'jobs'))
if not site then return 0 end

local function turn(pair, job)  -- sites share what is set aside for a task by start tags, as they share a lane
  local turns = key('turns', pair)
  local start = math.max(call('HGET', turns, 'v') or 0, call('HGET', turns, job.site) or 0)
  call('HSET', turns, job.site, exact(start + job.seconds))
  return exact(start)
end

local gone, aside = {}, 0
for told in items(2) do
  local id, pair = told.id, band .. ' ' .. told.task
  local job = entry(id)
  if job and job.slice == ARGV[1] then
    job.slice = ASIDE
    save(id, job)
    call('HSET', key('aside'), id, pair)
    call('SADD', key('asides'), pair)
    call('ZADD', key('aside', pair), turn(pair, job), id)
    emit('gone', id)
    gone[id], aside = true, aside + 1
  end
end
if aside == 0 then return 0 end

local left = {}
for id in string.gmatch(jobs, '%S+') do
  if not gone[id] then left[#left + 1] = id end
end
call('HSET', record, 'jobs', table.concat(left, ' '))
count_flying(site, band, -aside)
ring()
return aside
