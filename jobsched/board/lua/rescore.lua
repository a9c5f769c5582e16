-- Scores again what waits, by the rules as they are now. Safe to repeat.
-- ARGV     "jobs", then job ids: their places in their lines. "sites", then site ids: their places in their lanes; none
--          is behind its lane's virtual time, for what it missed under other rules gives no credit under these.
--          "done", then the token of the pass: it is over, unless the rules have changed since
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
  elseif call('ZSCORE', key('points'), ARGV[i]) then  -- else it waits no more, and joins when it does
    for _, band in ipairs(bands) do join(ARGV[i], band) end
    changed = changed + refresh(ARGV[i], true)
  end
end
return changed
