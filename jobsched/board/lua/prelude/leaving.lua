-- How a job leaves where it waits. Loaded in front of each script.
local function leave_line(id, job)  -- takes a waiting job off its line; returns whether it was there
  local line = key('line', job.site, job.band)
  if call('ZREM', line, on_line(id)) == 0 then return false end
  if call('EXISTS', line) == 0 then call('DEL', key('tags', job.site, job.band)) end
  count(job, -1)
  emit('gone', id)
  return true
end

local function leave_aside(id, pair)  -- takes a job out of what was set aside
  call('HDEL', key('aside'), id)
  call('ZREM', key('aside', pair), id)
  if call('EXISTS', key('aside', pair)) == 0 then
    call('SREM', key('asides'), pair)
    call('DEL', key('turns', pair))
  end
end

