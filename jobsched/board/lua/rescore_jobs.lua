-- Scores waiting jobs again, by the rules as they are now: their places in their lines. Safe to repeat.
-- ARGV     job ids
-- returns  how many scores changed
local changed = 0
for _, id in ipairs(ARGV) do
  local job = entry(id)
  if job and job.slice == '-' then
    local line = key('line', job.site, job.band)
    changed = changed + call('ZADD', line, 'XX', 'CH', exact(line_score(job)), on_line(id))
  end
end
return changed
