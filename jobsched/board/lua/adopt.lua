-- Puts a slice that a worker holds, but the board has forgotten (FLUSHALL), back into flight. Safe to repeat.
-- ARGV     slice, site, band, lease in seconds, now (empty: Redis's clock), then four for each job:
--          id, user, execution_time, attempt
-- returns  1 when it was put back, 0 when the board knows the slice
local slice, site, band = ARGV[1], ARGV[2], ARGV[3]
if call('EXISTS', key('slice', slice)) == 1 then return 0 end

local ids = {}
for i = 6, #ARGV, 4 do
  local id, known = ARGV[i], entry(ARGV[i])
  if known and known.slice == '-' then leave_line(id, known) end
  local pair = call('HGET', key('aside'), id)
  if pair then leave_aside(id, pair) end
  save(id, {site = site, user = ARGV[i + 1], band = band, seconds = ARGV[i + 2], attempt = ARGV[i + 3],
            enqueued_at = known and known.enqueued_at or '0', slice = slice, tag = '0'})
  ids[#ids + 1] = id
end
-- Its estimate was charged on the board that is lost: to this one it owes all that it uses.
call('HSET', key('slice', slice), 'site', site, 'band', band, 'jobs', table.concat(ids, ' '), 'seconds', 0,
     'finish', call('HGET', key('site', site), 'tag:' .. band) or 0, 'started', 1)
call('ZADD', key('flight'), exact(clock(ARGV[5]) + ARGV[4]), slice)
count_flying(site, band, #ids)
return 1
