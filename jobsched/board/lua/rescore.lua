-- Scores again what waits, by the rules as they are now. Safe to repeat.
-- ARGV     "jobs", then job ids: their places in their lines. "sites", then site ids: their places in their lanes; each
--          begins at its lane's virtual time, for what it had under other rules says nothing under these.
--          "done", then the token of the pass: it is over, unless another has begun since
-- returns  how many scores changed
local changed = 0
if ARGV[1] == 'done' then
  if rules.rescoring == ARGV[2] then call('HDEL', key('rules'), 'rescoring') end
  ring()
  return 0
end
for i = 2, #ARGV do
  if ARGV[1] == 'jobs' then
    local job = entry(ARGV[i])
    if job and job.slice == '-' then
      local line = key('line', job.site, job.band)
      changed = changed + call('ZADD', line, 'XX', 'CH', exact(line_score(job)), on_line(ARGV[i]))
    end
  else
    for _, band in ipairs(bands) do
      local v = call('HGET', key('lanes'), 'v:' .. band) or 0
      call('HSET', key('site', ARGV[i]), 'tag:' .. band, v, 'joined:' .. band, v)
    end
    changed = changed + refresh(ARGV[i])
  end
end
return changed
